"""The fixed overrides and the axes of the search, from the command line and a sweep file. Pure."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from hydra.core.override_parser.types import (
    IntervalSweep,
    Override,
    OverrideType,
    RangeSweep,
    ValueType,
)

from launcher.errors import ConfigError

_PLAIN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of an axis."""

    text: str
    """The value as typed on a command line."""
    line: str
    """The complete override, with its key."""
    override: Override
    """What Hydra applies to the configuration."""

    @property
    def is_scalar(self) -> bool:
        """Whether it replaces the old value and refers to no other key; a list or a mapping may be merged."""
        value = self.override.value()
        return not isinstance(value, dict | list) and not (
            isinstance(value, str) and ("${" in value or value == "???")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One override with all its values; a fixed one has a single value."""

    key: str
    """The key as typed, including + or ++."""
    values: tuple[Value, ...]
    """Empty for an interval."""
    swept: bool
    interval: tuple[float, float] | None = None
    """Ends of a continuous range."""
    step: float | None = None
    """Step of a discrete range between the ends of the interval."""
    whole: bool = False
    """Whether the interval contains only integers."""
    log: bool = False
    """Whether the interval is searched on a logarithmic scale."""

    @property
    def name(self) -> str:
        """The key without + or ~."""
        return self.key.lstrip("+~")

    @property
    def is_plain(self) -> bool:
        """Whether each value can be put into a composed configuration: no group, no package, all values scalars."""
        return (
            not self.key.startswith("~")
            and bool(_PLAIN.fullmatch(self.name))
            and bool(self.values)
            and all(value.is_scalar for value in self.values)
        )


def read_axes(overrides: Sequence[Override]) -> list[Axis]:
    """One axis per key, in the order of their first occurrence; if a key occurs twice, the last one counts.

    Order and texts are those of hydra's BasicSweeper.split_arguments.
    """
    axes: dict[str, Axis] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            text = override.get_value_element_as_str()
            line = str(override.input_line) if override.is_delete() else f"{key}={text}"
            value = Value(text=text, line=line, override=override)
            axes[key] = Axis(key=key, values=(value,), swept=False)
        elif override.is_discrete_sweep():
            axes[key] = _discrete(key, override)
        else:
            axes[key] = _interval(key, override)
    return list(axes.values())


def _discrete(key: str, override: Override) -> Axis:
    values = tuple(_value(key, override, element) for element in override.sweep_iterator())
    if not values:
        raise ConfigError(f"{override.input_line} has no value; give at least one")
    texts = [value.text for value in values]
    if twice := next((text for text in texts if texts.count(text) > 1), None):
        raise ConfigError(
            f"{override.input_line} has the value {twice} more than once, and would run the same trial again; give each once"
        )
    value = override.value()
    if isinstance(value, RangeSweep) and len(values) > 1:
        numbers = [float(cast("Any", value.override.value())) for value in values]
        whole = all(isinstance(value.override.value(), int) for value in values)
        step = abs(numbers[1] - numbers[0])
        return Axis(
            key=key, values=values, swept=True, interval=(min(numbers), max(numbers)), step=step, whole=whole
        )
    return Axis(key=key, values=values, swept=True)


def _value(key: str, override: Override, element: Any) -> Value:
    text = Override._get_value_element_as_str(element)  # pyright: ignore[reportPrivateUsage] sweep_string_iterator's
    kind = (
        OverrideType.FORCE_ADD if override.is_add() else override.type
    )  # the key exists after the first value
    single = replace(
        override,
        type=kind,
        value_type=ValueType.ELEMENT,
        _value=element,
        input_line=f"{key}={text}",
    )
    return Value(text=text, line=f"{key}={text}", override=single)


def _interval(key: str, override: Override) -> Axis:
    value = override.value()
    if not isinstance(value, IntervalSweep) or value.start is None or value.end is None:
        raise ConfigError(f"{override.input_line} is not a supported sweep; use choice, range or interval")
    low, high = float(value.start), float(value.end)
    unknown = value.tags - {"log", "int"}
    if unknown:
        raise ConfigError(f"{override.input_line} has the tag {min(unknown)}; an interval takes log and int")
    log = "log" in value.tags
    if not low < high or (log and low <= 0):
        raise ConfigError(
            f"{override.input_line} must go from a smaller to a larger number{', both above 0 with log' if log else ''}"
        )
    whole = "int" in value.tags or (isinstance(value.start, int) and isinstance(value.end, int))
    return Axis(key=key, values=(), swept=True, interval=(low, high), whole=whole, log=log)


def grid(axes: Sequence[Axis]) -> Iterator[tuple[Value, ...]]:
    """Every combination, the last axis fastest; ConfigError for an interval, which has infinitely many values."""
    for axis in axes:
        if not axis.values:
            raise ConfigError(
                f"{axis.name} is an interval, and a grid cannot try every value of it; use sweep.sampler=tpe, or a choice"
            )
    return itertools.product(*(axis.values for axis in axes))


def search_lines(search: Mapping[str, Any], overrides: Sequence[str]) -> list[str]:
    """The search space of a sweep file as overrides, without the keys that were typed."""
    keys = {override.lstrip("+~").partition("=")[0] for override in overrides}
    return [f"{key}={_text(key, value)}" for key, value in search.items() if key.lstrip("+") not in keys]


def _text(key: str, value: Any) -> str:
    if isinstance(value, list):
        items = [_scalar(key, item) for item in cast("list[Any]", value)]
        return f"choice({','.join(items)})"
    return value if isinstance(value, str) else _scalar(key, value)


def _scalar(key: str, value: Any) -> str:
    if isinstance(value, dict | list):
        raise ConfigError(f"sweep.search.{key} holds {value!r}; write it as text in Hydra's sweep syntax")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return repr(value)
