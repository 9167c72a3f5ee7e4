"""Frozen values that are written as lines of JSON: dataclasses to a type checker, and cheap to define.

dataclasses.dataclass compiles the methods of each class when it is made, about 0.5 ms a class: 20 ms for the 40 kinds of lines,
for every command and every supervisor. These classes share their methods instead (PEP 681 describes such classes).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import FrozenInstanceError
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, cast, get_args, get_origin, get_type_hints, is_typeddict

from launcher.frozen_dataclass import dataclass_transform

EMPTY: Mapping[str, Any] = MappingProxyType({})
"""The default of a field that holds a mapping."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Record:
    """A frozen value whose fields are its annotations, as in a dataclass with frozen and kw_only."""

    FIELDS: ClassVar[dict[str, bool]] = {}
    """Each field, in order, and whether it has a default."""
    REQUIRED: ClassVar[frozenset[str]] = frozenset()
    """The fields without a default."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = [name for name in cls.__annotations__ if not name.isupper()]
        found = {**cls.FIELDS, **{name: hasattr(cls, name) for name in own}}
        cls.FIELDS = found  # pyright: ignore[reportConstantRedefinition]
        cls.REQUIRED = frozenset(found) - {name for name in found if found[name]}  # pyright: ignore[reportConstantRedefinition]

    if not TYPE_CHECKING:

        def __init__(self, **values):
            if not self.REQUIRED <= values.keys() <= self.FIELDS.keys():
                missing, unknown = (
                    sorted(self.REQUIRED - values.keys()),
                    sorted(values.keys() - self.FIELDS.keys()),
                )
                raise TypeError(f"{type(self).__name__}: missing fields {missing}, unknown fields {unknown}")
            vars(self).update(values)  # a field that is not given is the class's default

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(
            getattr(self, name) == getattr(other, name) for name in self.FIELDS
        )

    @classmethod
    def find_wrong(cls, values: Mapping[str, Any]) -> str | None:
        """The first name whose value, as JSON has it, is not of its field's type; None if all are."""
        checks = _checks.get(cls) or _make_checks(cls)
        for name, value in values.items():
            if name in checks:
                plain, check = checks[name]
                if type(value) not in plain and not check(value):
                    return name
        return None

    __hash__ = None  # pyright: ignore

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.FIELDS)
        return f"{type(self).__name__}({fields})"


_checks: dict[type[Record], dict[str, tuple[frozenset[type], Callable[[Any], bool]]]] = {}
"""For each class that was read: field -> types of JSON values that need no further check, and the check of all others."""
_LARGEST = 1 << 63
"""Integers must be smaller: arrays and other readers of JSON hold 64 bits."""
_AT_SIGHT = frozenset((str, float, bool, type(None)))


def _make_checks(cls: type[Record]) -> dict[str, tuple[frozenset[type], Callable[[Any], bool]]]:
    kinds: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        kinds.update(getattr(base, "__annotations__", {}))
    _checks[cls] = {
        name: (_AT_SIGHT & {kinds[name], *get_args(kinds[name])}, _checker(kinds[name]))
        for name in cls.FIELDS
        if name != "more"
    }
    return _checks[cls]


def is_kind(value: Any, kind: Any) -> bool:
    """Whether a value, as JSON has it, is of an annotation's type."""
    return _checker(kind)(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value < _LARGEST


@cache
def _checker(kind: Any) -> Callable[[Any], bool]:
    """A function that says whether a value is of an annotation's type. Known are plain types, a type or None, a Sequence, list
    or tuple of a type, a Mapping or dict from texts to a type, and a TypedDict, whose keys may be missing."""
    if kind is Any:
        return lambda value: True
    if kind is int:
        return _is_integer
    if kind is float:
        return lambda value: isinstance(value, float) or _is_integer(value)
    if is_typeddict(kind):
        checks_of = {name: _checker(hint) for name, hint in get_type_hints(kind).items()}
        return lambda value: (
            isinstance(value, Mapping)
            and all(
                checks_of[name](item)
                for name, item in cast("Mapping[str, Any]", value).items()
                if name in checks_of
            )
        )
    inner = get_args(kind)
    if not inner:
        return lambda value: value is None if kind is type(None) else isinstance(value, kind)
    checks = [_checker(one) for one in inner]
    origin = get_origin(kind)
    if origin is tuple and len(checks) > 1 and inner[1] is not ...:
        return lambda value: (
            isinstance(value, list | tuple)
            and len(cast("list[Any]", value)) == len(checks)
            and all(check(item) for check, item in zip(checks, cast("list[Any]", value), strict=True))
        )
    if origin in (Sequence, list, tuple):
        return lambda value: isinstance(value, list | tuple) and all(map(checks[0], cast("list[Any]", value)))
    if origin in (Mapping, dict):
        return lambda value: (
            isinstance(value, Mapping) and all(map(checks[1], cast("Mapping[str, Any]", value).values()))
        )
    return lambda value: any(check(value) for check in checks)
