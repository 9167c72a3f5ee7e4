"""Frozen dataclasses that share their methods behave as those of Python's own dataclass."""

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, dataclass, field

import pytest

from launcher.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Ours:
    """A value."""

    name: str
    sizes: tuple[int, ...] = ()
    facts: dict[str, int] = field(default_factory=dict[str, int])
    secret: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.name == "refused":
            raise ValueError(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """A value."""

    name: str
    sizes: tuple[int, ...] = ()
    facts: dict[str, int] = field(default_factory=dict[str, int])
    secret: str = field(default="", repr=False)


def test_it_has_the_fields_the_defaults_and_the_text_of_a_dataclass():
    given = {"name": "a", "sizes": (1, 2), "secret": "s"}
    ours, theirs = Ours(**given), Theirs(**given)
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert [one.name for one in dataclasses.fields(ours)] == [one.name for one in dataclasses.fields(theirs)]
    assert repr(ours).removeprefix("Ours") == repr(theirs).removeprefix("Theirs")
    assert dataclasses.asdict(dataclasses.replace(ours, name="b")) == {
        **dataclasses.asdict(ours),
        "name": "b",
    }
    assert Ours(name="a").facts is not Ours(name="a").facts


def test_it_is_frozen_and_has_no_other_attributes():
    ours = Ours(name="a")
    for change in (
        lambda: setattr(ours, "name", "b"),
        lambda: delattr(ours, "name"),
        lambda: setattr(ours, "x", 1),
    ):
        with pytest.raises(FrozenInstanceError):
            change()
    assert not hasattr(ours, "__dict__") and ours.name == "a"


def test_a_missing_and_an_unknown_field_are_type_errors():
    with pytest.raises(TypeError, match=r"missing fields \['name'\], unknown fields \['nam'\]"):
        Ours(nam="a")
    with pytest.raises(TypeError):
        Ours("a")


def test_post_init_is_called():
    with pytest.raises(ValueError, match="refused"):
        Ours(name="refused")


def test_equality_and_hash_are_those_of_the_fields():
    @frozen_dataclass
    class Pair:
        left: int
        right: int = 0

    assert Pair(left=1) == Pair(right=0, left=1) != Pair(left=2)
    assert len({Pair(left=1), Pair(left=1, right=0), Pair(left=2)}) == 2
    assert Ours(name="a") != Theirs(name="a")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_it_can_be_copied_and_pickled(again):
    ours = Ours(name="a", sizes=(1,), facts={"x": 1})
    assert again(ours) == ours
