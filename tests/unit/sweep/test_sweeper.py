"""Hydra's own conformance tests of a sweeper, run with hydra/sweeper=launcher."""

import json
import sys
from collections.abc import Iterator

import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)
from hydra.test_utils.test_utils import run_process
from hydra.version import VersionBase, setbase

from hydra_plugins.launcher_sweeper import LauncherSweeper


@pytest.fixture(autouse=True)
def _hydras_own_base() -> Iterator[None]:
    """Hydra keeps the version_base of whoever composed last in this process; its own tests are written for 1.1."""
    before = VersionBase.instance()
    VersionBase.set_instance(VersionBase.__new__(VersionBase))
    setbase("1.1")
    yield
    VersionBase.set_instance(before)


def test_hydra_finds_the_sweeper():
    found = [one.__name__ for one in Plugins.instance().discover(Sweeper)]
    assert LauncherSweeper.__name__ in found


@pytest.mark.parametrize(("launcher_name", "overrides"), [("basic", ["hydra/sweeper=launcher"])])
class TestAsHydrasOwn(LauncherTestSuite):
    """As hydra's tests of its basic sweeper and launcher."""


@pytest.mark.parametrize(
    ("launcher_name", "overrides"),
    [("basic", ["hydra/sweeper=launcher", "hydra.sweeper.max_batch_size=2"])],
)
class TestInBatches(BatchedSweeperTestSuite):
    """Likewise, two jobs at a time."""


@pytest.mark.long
@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/sweeper=launcher", "hydra/launcher=basic"])]
)
class TestInProcessesOfTheirOwn(IntegrationTestSuite):
    """Likewise, from a program."""


def test_another_launcher_of_hydras_gets_the_jobs_itself(tmp_path):
    """submitit's local executor: each trial is launched in a process of its own, by Hydra's own path."""
    typed = [
        sys.executable, "-m", "launcher", "-m", "+experiment=tiny", "cluster=local", "dry_run=true", "seed=1,2",
        "data.check=off", f"runs_dir={tmp_path}/runs", "hydra/launcher=submitit_local",
        f"hydra.launcher.submitit_folder={tmp_path}",
    ]  # fmt: skip
    run_process(typed, env=None)
    plans = sorted(tmp_path.glob("runs/tiny/sweep_*/*/plan.json"))
    assert [json.loads(plan.read_text())["trainer_args"]["seed"] for plan in plans] == [1, 2]
    assert not list(tmp_path.glob("runs/tiny/sweep_*/sweep.json"))


def test_another_sweeper_of_hydras_is_left_alone(tmp_path):
    typed = [
        sys.executable, "-m", "launcher", "-m", "+experiment=tiny", "cluster=local", "dry_run=true", "seed=1,2",
        "data.check=off", f"runs_dir={tmp_path}/runs", "hydra/sweeper=basic",
    ]  # fmt: skip
    run_process(typed, env=None)
    assert len(list(tmp_path.glob("runs/tiny/sweep_*/*/plan.json"))) == 2
    assert not list(tmp_path.glob("runs/tiny/sweep_*/sweep.json"))
