"""What the schema says of its own keys."""

from dataclasses import dataclass
from typing import Any, Optional

import pytest

from launcher.config import Config
from launcher.config.keys import field_docs, list_keys

KEYS = {key.name: key for key in list_keys()}


@pytest.mark.parametrize("name", KEYS)
def test_every_key_has_a_docstring(name):
    assert len(KEYS[name].doc.split()) >= 2, f"write a docstring below {name} in launcher/config/"


def test_a_key_without_a_docstring_would_be_noticed():
    @dataclass
    class Bare:
        size: int = 1

    assert [key.doc for key in list_keys(Bare)] == [""]


def test_types_and_defaults_are_in_the_spelling_of_yaml():
    told = {name: (KEYS[name].type, KEYS[name].default) for name in ("seed", "force", "trainer.beta", "name")}
    assert told == {
        "seed": ("integer", "0"),
        "force": ("true or false", "false"),
        "trainer.beta": ("number or null", "null"),
        "name": ("text", None),
    }


def test_a_key_of_a_list_element_is_marked():
    assert KEYS["data.sources[].weight"].default == "1.0"


def test_keys_are_those_of_the_schema():
    def count(schema: Any) -> int:
        return len(schema.__dataclass_fields__)

    assert sum("." not in name for name in KEYS) == count(Config)


def test_a_docstring_may_have_several_lines():
    @dataclass
    class Wide:
        size: Optional[int] = None  # noqa: UP045
        """Of the
        whole."""

    assert field_docs(Wide) == {"size": "Of the whole."}
