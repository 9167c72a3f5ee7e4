"""The configurations of many trials, derived from few compositions.

A composition by Hydra takes about 60 ms, which is too slow for 1000 trials. A value that only replaces a scalar needs no
composition of its own: it is put into a composed configuration once, by Hydra's own code and under OmegaConf's types, and the
results are combined for each trial. Groups, lists, mappings and overrides that affect each other are composed by Hydra, once
per combination. tests/unit/sweep/test_derive.py compares the outcome with Hydra's.
"""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from launcher.config import Config
from launcher.launching.compose import MultirunRequest, compose_trial
from launcher.launching.named_model import NAME
from launcher.sweep.expand import Axis, Value

# Interpolations whose value is the same for all trials.
_CONSTANT = re.compile(r"oc\.env:|shipped:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """One trial's configuration."""

    config: Config
    experiment: str | None
    config_dir: str | None
    uses_default_data: bool
    """The same as in Composed."""
    evaluation_left_out: bool
    """The same as in Composed."""


@dataclass(slots=True, kw_only=True)
class _Base:
    """One composition, and the effect of single values on it."""

    cfg: DictConfig
    """The configuration before interpolation; the values of plain axes in it change."""
    derived: Derived
    varying: list[str]
    """Keys whose values are interpolated from other keys."""
    typed: dict[tuple[int, str], Any]
    """(axis, text) -> the value, converted to the type of its key."""


class Deriver:
    """Derives the configurations of the trials of one multirun."""

    def __init__(self, request: MultirunRequest, axes: Sequence[Axis]) -> None:
        self.request, self.axes = request, axes
        self.plain = [at for at, axis in enumerate(axes) if axis.swept and self._is_plain(axis)]
        self._bases: dict[tuple[str, ...], _Base | None] = {}
        self.notes: list[str] = []  # notes about models for which revision and shape of a file were dropped

    def derive(self, values: Sequence[Value], number: int) -> Derived:
        """The configuration of one combination; raises the errors of Hydra and OmegaConf."""
        plain = set(self.plain)
        key = tuple(value.line for at, value in enumerate(values) if at not in plain)
        if key not in self._bases:
            base = self._compose(values, number)
            self._bases[key] = base if self.plain and "${hydra:" not in str(base.cfg) else None
            return base.derived
        base = self._bases[key]
        if base is None:
            return self._compose(values, number).derived
        config = base.derived.config
        for at in self.plain:
            config = _with(config, self.axes[at].name.split("."), self._typed(base, at, values[at]))
        if base.varying:
            for at in self.plain:
                _apply(values[at].override, base.cfg)
            for name in base.varying:
                found = OmegaConf.select(base.cfg, name)
                if OmegaConf.is_config(found):
                    return self._compose(values, number).derived
                config = _with(config, name.split("."), found)
        return replace(base.derived, config=config)

    def _is_plain(self, axis: Axis) -> bool:
        """Whether the axis changes only its own key."""
        if not axis.is_plain or axis.name == NAME or self.request.loader.get_group_options(axis.name):
            return False
        others = [other.name for other in self.axes if other is not axis]
        return not any(
            name == axis.name or name.startswith(f"{axis.name}.") or axis.name.startswith(f"{name}.")
            for name in others
        )

    def _compose(self, values: Sequence[Value], number: int) -> _Base:
        cfg, composed = compose_trial(self.request, [value.line for value in values], number)
        if composed.note and composed.note not in self.notes:
            self.notes.append(composed.note)
        derived = Derived(
            config=composed.config,
            experiment=composed.experiment,
            config_dir=composed.config_dir,
            uses_default_data=composed.uses_default_data,
            evaluation_left_out=composed.evaluation_left_out,
        )
        return _Base(cfg=cfg, derived=derived, varying=_varying("", OmegaConf.to_container(cfg)), typed={})

    def _typed(self, base: _Base, at: int, value: Value) -> Any:
        key = (at, value.text)
        if key not in base.typed:
            _apply(value.override, base.cfg)
            base.typed[key] = OmegaConf.select(base.cfg, self.axes[at].name)
        return base.typed[key]


def _apply(override: Override, cfg: DictConfig) -> None:
    ConfigLoaderImpl._apply_overrides_to_config([override], cfg)  # pyright: ignore[reportPrivateUsage] Hydra's own rules


def _varying(prefix: str, value: Any) -> list[str]:
    """Keys under `value` whose text refers to another key, or to a resolver that may return another value for each trial."""
    if isinstance(value, dict):
        inner = cast("dict[Any, Any]", value)
        return [name for key, one in inner.items() for name in _varying(f"{prefix}.{key}".lstrip("."), one)]
    text = str(value)
    starts = [found.end() for found in re.finditer(r"\$\{", text)]
    return [prefix] if any(not _CONSTANT.match(text, start) for start in starts) else []


def _with(owner: Any, path: Sequence[str], value: Any) -> Any:
    """A copy of `owner` with another value at the path; unchanged parts are shared."""
    if not path:
        return value
    changed = copy.copy(owner)
    first, rest = path[0], path[1:]
    if is_dataclass(owner):
        setattr(changed, first, _with(getattr(owner, first), rest, value))
    else:
        changed[first] = _with(owner.get(first), rest, value)
    return changed
