"""Frozen values that are written as lines of JSON: dataclasses to a type checker, and cheap to define.

dataclasses.dataclass compiles the methods of each class when it is made, about 0.5 ms a class: 20 ms for the 40 kinds of lines,
for every command and every supervisor. These classes share their methods instead (PEP 681 describes such classes).
"""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**options):
        """A decorator that does nothing: typing has the real one from Python 3.11 on."""
        return lambda cls: cls


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

    __hash__ = None  # pyright: ignore

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.FIELDS)
        return f"{type(self).__name__}({fields})"
