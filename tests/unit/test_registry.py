"""How a variant is found: in this project's package, or by an entry point of another."""

import json
import subprocess
import sys

import pytest

from launcher.errors import ConfigError
from launcher.plugins.base import Plugin
from launcher.registry import Registry
from tests.extending.foreign import install
from tests.support.runs import environment

KNOWN = Registry(kind="shape", key="shape.kind", package="launcher.config", group="launcher.tests", spec=type)


def test_the_modules_of_the_package_are_its_variants():
    assert {"model", "trainer", "sweep"} <= set(KNOWN.own_names())


def test_an_unknown_name_gives_the_key_and_the_nearest_name():
    with pytest.raises(
        ConfigError, match=r"shape\.kind=trainr: unknown shape 'trainr'; did you mean trainer\?"
    ):
        KNOWN.find("trainr")


def test_a_module_without_a_spec_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"launcher\.config\.model has no type named SPEC; add one"):
        KNOWN.find("model")


FOUND = f"""
import json
from launcher.registry import Registry
from {Plugin.__module__} import Plugin
known = Registry(kind="plugin", key="k", package="launcher.checkpoint", group="launcher.tests", spec=Plugin)
print(json.dumps(["mine" in known.names(), "mine" in known.own_names(), type(known.find("mine")).__name__]))
"""


@pytest.mark.parametrize("target", ["my_shapes", "my_shapes:SPEC"])
def test_an_entry_point_of_another_distribution_is_a_variant(tmp_path, target):
    text = "from launcher.plugins.base import Plugin\nclass Mine(Plugin):\n    pass\nSPEC = Mine()\n"
    site = install(tmp_path, "my-shapes", {"my_shapes": text}, {"launcher.tests": {"mine": target}})
    done = subprocess.run(
        [sys.executable, "-c", FOUND],
        env=environment(PYTHONPATH=str(site)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [True, False, "Mine"]


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ({}, "No module named 'broken'"),
        ({"broken": "def ("}, "SyntaxError("),
        ({"broken": "1 / 0"}, "ZeroDivisionError("),
        ({"broken": "raise SystemExit(3)"}, "SystemExit(3)"),
    ],
)
def test_an_entry_point_that_cannot_be_imported_is_one_line(tmp_path, modules, reason):
    site = install(tmp_path, "my-shapes", modules, {"launcher.tests": {"mine": "broken"}})
    found = (
        FOUND.replace("print(", "\ntry:\n  print(")
        + "except Exception as error:\n  print(json.dumps(str(error)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", found],
        env=environment(PYTHONPATH=str(site)),
        capture_output=True,
        text=True,
        check=True,
    )
    message = json.loads(done.stdout)
    assert f"entry point broken cannot be imported ({reason}" in message
    assert "install its package my-shapes again" in message
    assert "\n" not in message
