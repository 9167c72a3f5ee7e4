"""A real Slurm cluster of four nodes, on this machine, for the session."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.resources import resource_dir
from tests.runs import Finished, command, environment

NEEDED = ("slurmctld", "slurmd", "munged", "ip", "unshare")


class Lab:
    """The cluster, and what a person does on its login node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = {
            "SLAB": str(folder),
            "SLAB_NET": "10.87.0",
            "SLAB_CRED_EXPIRE": "5",
            "SLAB_CPUS": "8",
        }

    def __call__(self, *words: str) -> None:
        """slurm/lab up, down, crash, ..."""
        script = str(resource_dir("slurm") / "lab")
        subprocess.run([script, *words], env=environment(**self.settings), check=True, timeout=120)

    def run(
        self, *arguments: str, cwd: Path, check: bool = True, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """A command on the login node."""
        script = str(resource_dir("slurm") / "lab")
        done = subprocess.run(
            [script, "exec", *arguments], cwd=cwd, env=environment(**self.settings, **more),
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def launch(self, cwd: Path, *overrides: str) -> Finished:
        """The tiny model, submitted on CPU ranks."""
        arguments = command("+experiment=tiny", "cluster=slurm", "resources.device=cpu", *overrides)
        done = self.run(*arguments, cwd=cwd)
        folder = next(
            line.split(maxsplit=2)[2] for line in done.stdout.splitlines() if line.startswith("run dir")
        )
        return Finished(Path(folder))

    def wait(self, run: Finished, event: str, timeout_s: float = 180) -> None:
        """Until the run has that event."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if run.events(event):
                return
            assert event == "stopped" or not run.events("stopped"), run.logs()
            time.sleep(0.2)
        raise AssertionError(f"no {event} within {timeout_s} s: {run.events()}\n{run.logs()}")


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
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def submitted(lab: Lab, cache: Path, tmp_path: Path) -> Callable[..., Finished]:
    def submit(*overrides: str) -> Finished:
        return lab.launch(tmp_path, f"cache_dir={cache}", *overrides)

    return submit
