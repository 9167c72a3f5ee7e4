"""What a user gets from the wheel."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


def test_the_wheel_holds_what_git_tracks(wheel):
    listed = subprocess.run(
        ["git", "ls-files", "launcher", "hydra_plugins", "conf", "slurm"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    tracked = {
        path if path.startswith(("launcher/", "hydra_plugins/")) else f"launcher/{path}"
        for path in listed.stdout.splitlines()
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == tracked


def test_every_experiment_composes_from_the_wheel_in_an_empty_environment(wheel, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run(
        [python, "-m", "pip", "install", "-q", str(wheel)], check=True, capture_output=True, env=environment
    )
    for experiment in sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")):
        done = subprocess.run(
            [python, "-m", "launcher", "plan", f"+experiment={experiment}", "cluster=slurm"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert experiment in done.stdout
