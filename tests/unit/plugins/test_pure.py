"""Making a plan looks at nothing but its arguments: no file, clock, environment or installed package."""

import ast
import builtins
import importlib.util
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import launcher.plan
from launcher.plugins.base import make_plugins
from launcher.plugins.decide import decide
from launcher.resources import resource_dir
from tests.support.paths import ROOT

EXPERIMENTS = sorted(path.stem for path in (resource_dir("conf") / "experiment").glob("*.yaml"))
PLUGINS = {
    "lora": [],
    "qlora": [],
    "liger": [],
    "neftune": [],
    "gradient_checkpointing": [],
    "sharded_checkpoint": [],
    "forgetting_guard": ["plugins.forgetting_guard.text_path=mine.txt"],
    "early_stopping": [
        "plugin=[sharded_checkpoint,early_stopping]",
        "trainer.eval_steps=10",
        "data.eval_path=held_out.jsonl",
    ],
}
LOOKS = {
    builtins: ["open"],
    os: ["stat", "lstat", "listdir", "scandir", "open", "getenv", "getcwd", "access"],
    time: ["time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "sleep"],
    importlib.util: ["find_spec"],
}
BANNED = {
    "os", "time", "datetime", "random", "socket", "subprocess", "importlib", "shutil", "tempfile", "platform",
}  # fmt: skip


class Blocked(dict[str, str]):
    """An environment that must not be read."""

    def __getitem__(self, key: str) -> str:
        raise AssertionError(f"the environment was asked for {key}")

    def get(self, key: str, default: object = None) -> str:  # type: ignore[override]
        return self[key]

    def __contains__(self, key: object) -> bool:
        raise AssertionError(f"the environment was asked for {key}")

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("the environment was listed")


@pytest.fixture
def decided_blindly(compose, facts, monkeypatch):
    """Plans some overrides twice, the second time with every look at the machine blocked; both plans must be equal."""

    def decided_blindly(*overrides: str) -> None:
        config = compose(*overrides)
        known, plugins = facts(config), make_plugins(config.plugins)
        before = decide(config, known, plugins)  # imports what is imported by need
        with monkeypatch.context() as patch:
            for module, names in LOOKS.items():
                for name in names:

                    def refuse(*arguments: object, name: str = name, **options: object) -> None:
                        raise AssertionError(f"{name}{arguments} was called")

                    patch.setattr(module, name, refuse)
            patch.setattr(os, "environ", Blocked())
            after = decide(config, known, plugins)
        assert after == before

    return decided_blindly


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_plan_of_an_experiment_looks_at_nothing(decided_blindly, experiment):
    decided_blindly(f"+experiment={experiment}", "cluster=slurm")


@pytest.mark.parametrize("plugin", PLUGINS)
def test_no_shipped_plugin_looks_at_the_machine_in_its_plan(decided_blindly, plugin):
    overrides = PLUGINS[plugin]
    chosen = [] if any(one.startswith("plugin=") for one in overrides) else [f"plugin=[{plugin}]"]
    decided_blindly("+experiment=llama8b_lora", *chosen, *overrides)


def test_every_shipped_plugin_is_tried():
    assert set(PLUGINS) == {path.stem for path in (resource_dir("conf") / "plugin").glob("*.yaml")}


def test_choosing_the_strategy_and_the_micro_batch_looks_at_nothing(decided_blindly):
    decided_blindly(
        "+experiment=llama8b_lora",
        "strategy=auto",
        "batch.micro_batch_size=auto",
        "cluster.gpu_memory_gib=80",
    )


@pytest.mark.parametrize(
    "file",
    sorted(Path(launcher.plan.__file__).parent.rglob("*.py")),
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_no_module_of_the_plan_imports_what_looks_at_the_machine(file):
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
            if node.module == "pathlib":
                assert {alias.name for alias in node.names} <= {"PurePath", "PurePosixPath"}
    assert not found & BANNED
