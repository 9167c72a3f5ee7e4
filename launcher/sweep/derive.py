"""The configurations of many trials, from few compositions.

A composition of Hydra's takes about 60 ms, which 1000 trials do not have. Values that only replace a scalar need none of
their own: each is put into one composed configuration once, by Hydra's own code and under OmegaConf's types, and what came
of it is put together per trial. Groups, lists, mappings and whatever else one override can do to another are composed for
real, once per combination. tests/unit/sweep/test_derive.py holds the outcome against Hydra's own.
"""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from launcher.config import Config
from launcher.launching.compose import Asked, compose_trial
from launcher.sweep.expand import Axis, Value

# What an interpolation may be without being looked at again for each trial.
_CONSTANT = re.compile(r"oc\.env:|shipped:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """One trial's configuration."""

    config: Config
    experiment: str | None
    config_dir: str | None


@dataclass(slots=True, kw_only=True)
class _Base:
    """One composition, and what single values do to it."""

    cfg: DictConfig
    """Before interpolation; the values of plain axes in it change."""
    derived: Derived
    varying: list[str]
    """Keys whose values are interpolated from others."""
    typed: dict[tuple[int, str], Any]
    """(axis, text) -> the value under its key's type."""


class Deriver:
    """Trials of one multirun."""

    def __init__(self, asked: Asked, axes: Sequence[Axis]) -> None:
        self.asked, self.axes = asked, axes
        self.plain = [at for at, axis in enumerate(axes) if axis.swept and self._is_plain(axis)]
        self._bases: dict[tuple[str, ...], _Base | None] = {}

    def derive(self, values: Sequence[Value], number: int) -> Derived:
        """The configuration of one combination; whatever Hydra and OmegaConf refuse."""
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
        return Derived(config=config, experiment=base.derived.experiment, config_dir=base.derived.config_dir)

    def _is_plain(self, axis: Axis) -> bool:
        """Whether nothing but the axis' own key changes with it."""
        if not axis.is_plain or self.asked.loader.get_group_options(axis.name):
            return False
        others = [other.name for other in self.axes if other is not axis]
        return not any(
            name == axis.name or name.startswith(f"{axis.name}.") or axis.name.startswith(f"{name}.")
            for name in others
        )

    def _compose(self, values: Sequence[Value], number: int) -> _Base:
        cfg, composed = compose_trial(self.asked, [value.line for value in values], number)
        derived = Derived(
            config=composed.config, experiment=composed.experiment, config_dir=composed.config_dir
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
    """Keys under `value` whose text refers to another key or to a resolver that may answer differently."""
    if isinstance(value, dict):
        inner = cast("dict[Any, Any]", value)
        return [name for key, one in inner.items() for name in _varying(f"{prefix}.{key}".lstrip("."), one)]
    text = str(value)
    starts = [found.end() for found in re.finditer(r"\$\{", text)]
    return [prefix] if any(not _CONSTANT.match(text, start) for start in starts) else []


def _with(owner: Any, path: Sequence[str], value: Any) -> Any:
    """`owner` with another value at the path; what does not change is shared."""
    if not path:
        return value
    changed = copy.copy(owner)
    first, rest = path[0], path[1:]
    if is_dataclass(owner):
        setattr(changed, first, _with(getattr(owner, first), rest, value))
    else:
        changed[first] = _with(owner.get(first), rest, value)
    return changed
