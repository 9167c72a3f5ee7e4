"""A real Slurm cluster of four nodes on this machine, and what a person does with it."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from launcher.resources import resource_dir
from launcher.run import RunDir, read_lines
from tests.support.runs import Finished, command, environment

NEEDED = ("slurmctld", "slurmd", "munged", "ip", "unshare")


class OnSmallDisk(Finished):
    """A run whose lines may be torn where its disk was full."""

    def metrics(self) -> list[dict[str, Any]]:
        return list(read_lines(RunDir(self.path).metrics))

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        return [event for event in read_lines(RunDir(self.path).events) if name in (None, event["event"])]


class Lab:
    """The cluster, and what a person does on its login node."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """`settings`: other variables SLAB_* of slurm/lab."""
        self.folder = folder
        self.settings = {
            "SLAB": str(folder),
            "SLAB_NET": "10.87.0",
            "SLAB_CRED_EXPIRE": "5",
            "SLAB_KILLWAIT": "15",
            "SLAB_CPUS": "8",
            "SLAB_SMALL": "1100",
            "XDG_STATE_HOME": str(folder / "state"),  # what is known of its hosts is not for the next cluster
            **settings,
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
        place = () if any(word.startswith("cluster=") for word in overrides) else ("cluster=slurm",)
        arguments = command("+experiment=tiny", *place, "resources.device=cpu", *overrides)
        done = self.run(*arguments, cwd=cwd)
        folder = next(
            line.split(maxsplit=2)[2] for line in done.stdout.splitlines() if line.startswith("run dir")
        )
        return Finished(Path(folder))

    def seen(self, run: Finished) -> OnSmallDisk:
        """A run on the cluster's small file system, as it is reached from outside of the cluster."""
        controller = (self.folder / "ctl.pid").read_text().strip()
        return OnSmallDisk(Path(f"/proc/{controller}/root{run.path}"))

    def job(self, run: Finished) -> str:
        """The id of its newest job."""
        return json.loads((run.path / "job.json").read_text())["job_id"]

    def hosts(self, run: Finished) -> list[str]:
        """The nodes of its job, the batch host first."""
        done = self.run("squeue", "--noheader", "--jobs", self.job(run), "--format=%N", cwd=run.path)
        return self.run("scontrol", "show", "hostnames", done.stdout.strip(), cwd=run.path).stdout.split()

    def state(self, run: Finished) -> str:
        """What `status` says."""
        done = self.run(*command("status", str(run.path), "--json"), cwd=run.path)
        return json.loads(done.stdout)["state"]

    def on(self, node: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A command on a node, outside of any job."""
        script = str(resource_dir("slurm") / "lab")
        return subprocess.run(
            [script, "on", node, *words],
            env=environment(**self.settings),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def wait(self, run: Finished, event: str, timeout_s: float = 180) -> None:
        """Until the run has that event."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if run.events(event):
                return
            assert event == "stopped" or not run.events("stopped"), run.logs()
            time.sleep(0.2)
        raise AssertionError(f"no {event} within {timeout_s} s: {run.events()}\n{run.logs()}")
