"""What a launch costs on a login node, as far as it is the same on every machine: imports, and calls to the file system."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import start

MOST_MODULES = 195
"""Modules of the launcher that the launch of this test may import: each asks the file system six times, and its classes take
time. A module that only some runs need is imported where they need it; raise the number only for what every launch needs."""
NEEDED_BY_FEW = (
    "launcher.checkpoint", "launcher.data.check", "launcher.formats", "launcher.launching.class_gate",
    "launcher.launching.explain", "launcher.launching.push_target", "launcher.launching.teacher_gate", "launcher.plan.auto",
    "launcher.plan.containers", "launcher.plan.eval_job", "launcher.plan.search", "launcher.protocol", "launcher.run.metrics",
    "launcher.run.remote", "launcher.status", "launcher.supervise", "launcher.sweep", "launcher.train",
    "concurrent.futures", "asyncio", "importlib.metadata", "multiprocessing", "rich", "ssl", "tarfile", "urllib.request",
)  # fmt: skip

_LAUNCH = """
import json, runpy, sys
sys.argv = ["launcher", "+experiment=llama70b_qlora", "cluster=slurm"]
try:
    runpy.run_module("launcher", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
json.dump(sorted(sys.modules), open("modules.json", "w"))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> list[str]:
    """The modules after a launch whose data was checked before, into a queue that only prints a number."""
    folder: Path = tmp_path_factory.mktemp("login")
    sbatch = folder / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\necho 1\n")
    sbatch.chmod(0o755)
    work = folder / "work"
    work.mkdir()
    environment = {
        "PATH": f"{sbatch.parent}:/usr/bin:/bin",
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "HF_ENDPOINT": "https://hub.invalid",  # no such host
    }
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", _LAUNCH], cwd=work, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    return json.loads((work / "modules.json").read_text())


def test_a_launch_imports_few_modules_of_the_launcher(imported):
    ours = [name for name in imported if name.split(".")[0] == "launcher"]
    assert 100 < len(ours) <= MOST_MODULES, ours


@pytest.mark.parametrize("name", NEEDED_BY_FEW)
def test_a_launch_does_not_import_what_few_need(imported, name):
    assert [one for one in imported if one == name or one.startswith(f"{name}.")] == []


@pytest.mark.long
@pytest.mark.skipif(
    shutil.which("strace") is None and not os.environ.get("CI"), reason="needs strace, which counts the calls"
)
def test_a_launch_asks_the_file_system_little_more_than_a_bare_hydra_app(tmp_path):
    ours, bare, environment = start.make_arms(tmp_path)
    for arm in (ours, bare):  # fills the caches
        subprocess.run(arm.command, cwd=arm.folder, env=environment, check=True, capture_output=True)
    calls = [start.count_calls(arm, tmp_path / "strace", environment) for arm in (ours, bare)]
    assert 0 < calls[0] - calls[1] <= start.BAR_CALLS, calls
