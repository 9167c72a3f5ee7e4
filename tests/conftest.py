"""Fixtures: a typed config, the facts of a plan, the command itself, and a real Slurm cluster."""

import copy
import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from launcher.config import Config, ContainerRuntime, register
from launcher.launching.chat_template import read_format
from launcher.launching.composed import to_config
from launcher.plan import Facts, LaunchPlan
from launcher.plugins.decide import decide
from launcher.resources import resource_dir
from tests.support import preloaded
from tests.support.lab import NEEDED, Lab
from tests.support.runs import Finished
from tests.support.shapes import check_printed

ON_CLUSTER = ("tests/cluster/", "tests/faults/")
"""Where the tests on the real Slurm cluster are."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=20, help="SIGKILLs in saves, over strategies and methods")
    parser.addoption(
        "--submit-kills", type=int, default=10, help="SIGKILLs of launches before they have told of a job"
    )
    parser.addoption(
        "--sweep-kills", type=int, default=4, help="SIGKILLs of sweeps before they have told of their array"
    )
    parser.addoption("--golden-update", action="store_true", help="write tests/support/golden anew")
    parser.addoption("--long", action="store_true", help="the tests marked long as well")


def pytest_configure(config: pytest.Config) -> None:
    """Under --long, hypothesis tries five times as many examples."""
    if config.getoption("--long"):
        settings.register_profile("long", settings(), max_examples=5 * settings().max_examples)
        settings.load_profile("long")


class _Scheduling(LoadFileScheduling):
    """Under `-n`: a file's tests stay together, since they share runs, and one worker has the cluster, since there is one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "cluster" if file.startswith(ON_CLUSTER) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    return _Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out, by name and not as skipped, what is marked long."""
    if config.getoption("--long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def compose() -> Callable[..., Config]:
    """The typed Config of some overrides, which is composed once: to compose takes a tenth of a second."""

    def compose(*overrides: str) -> Config:
        return copy.deepcopy(_composed(overrides, *(os.environ.get(name) for name in _READ)))

    return compose


_READ = ("HOME", "XDG_CACHE_HOME", "SBATCH_ACCOUNT")
"""The variables of the environment that conf/ and the schema refer to."""


@functools.cache
def _composed(overrides: tuple[str, ...], *_read: str | None) -> Config:
    _registered()
    with hydra.initialize_config_dir(str(resource_dir("conf")), version_base="1.3"):
        return to_config(hydra.compose("config", list(overrides)))


@functools.cache
def _registered() -> None:
    register()


@pytest.fixture
def facts() -> Callable[..., Facts]:
    """Facts of a GPU cluster that is no machine in particular."""

    def facts(config: Config, **changes: Any) -> Facts:
        bare = config.cluster.container.runtime is ContainerRuntime.none
        known: dict[str, Any] = {
            "experiment": None,
            "cluster": "slurm",
            "device": "cuda",
            "run_dir": "/runs/NAME/DATE",
            "work_dir": "/work_dir",
            "cache_dir": "/cache",
            "hub_folders": {} if bare else {"HF_HOME": "/huggingface"},
            "data_path": "/data/train.jsonl",
            "eval_path": "/data/eval.jsonl" if config.data.eval_path else None,
            "python": config.cluster.python or "/venv/bin/python",
            "architecture": config.model.architecture,
            "chat": read_format(config),
            "resume": config.resume,
            "save_s": 5.0,
            "restart_s": 120.0,
            "version": "VERSION",
        }
        return Facts(**{**known, **changes})

    return facts


@pytest.fixture
def plan(compose: Callable[..., Config], facts: Callable[..., Facts]) -> Callable[..., LaunchPlan]:
    """The plan of some overrides, plugins included."""

    def plan(*overrides: str, **changes: Any) -> LaunchPlan:
        config = compose(*overrides)
        return decide(config, facts(config, **changes))

    return plan


@pytest.fixture
def commands(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder to be the whole PATH, with an `sbatch` of the given shell lines, or with none."""

    def commands(sbatch: str | None = None) -> Path:
        folder = tmp_path_factory.mktemp("bin")
        if sbatch is not None:
            (folder / "sbatch").write_text(f"#!/bin/sh\n{sbatch}\n")
            (folder / "sbatch").chmod(0o755)
        return folder

    return commands


@pytest.fixture
def cli(tmp_path: Path, commands: Callable[..., Path]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python -m launcher ...` in tmp_path, with no environment but what is given, and returns what it said.

    What it prints under --json is compared with what its verb declares.
    """

    def cli(
        *arguments: str, sbatch: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        path = commands(sbatch)
        variables = {"PATH": str(path), "HOME": str(path), "LANG": "C.UTF-8", **environment}
        done = preloaded.run(arguments, tmp_path, variables)
        if "--json" in arguments:
            check_printed(arguments, done.stdout)
        return done

    return cli


@pytest.fixture(autouse=True)
def _outside_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may itself be in a job."""
    for name in os.environ:
        if name.startswith(("SLURM_", "SBATCH_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    missing = [
        program for program in NEEDED if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None
    ]
    if os.geteuid() != 0 or missing:
        why = f"needs root and {', '.join(missing) or 'nothing else'}"
        # In CI a missing cluster is a failure: a skipped test would look like a passed one.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    folder = Path("/tmp") / f"lab-{os.getpid()}"  # munge wants every folder above its own to be safe
    lab = Lab(folder)
    lab("up", "4")
    yield lab
    lab("down")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty cache_dir, but for operators, which take a minute to compile."""
    cache = tmp_path_factory.mktemp("cache")
    operators = Path.home() / ".cache" / "launcher_tests" / "torch_extensions"
    operators.mkdir(parents=True, exist_ok=True)
    (cache / "torch_extensions").symlink_to(operators)
    return cache


@pytest.fixture
def submitted(lab: Lab, cache: Path, tmp_path: Path) -> Callable[..., Finished]:
    def submit(*overrides: str) -> Finished:
        return lab.launch(tmp_path, f"cache_dir={cache}", *overrides)

    return submit
