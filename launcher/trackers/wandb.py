"""Weights & Biases: one id per run over all attempts; offline if it cannot send, and sent later by `sync`."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from launcher.environment import Variable
from launcher.packages import Package
from launcher.trackers.base import Number, Tracked, Tracker, TrackingStart
from launcher.trackers.host import PROBE_S, answers

HOST = "https://api.wandb.ai"
"""Server of wandb without WANDB_BASE_URL. Source: wandb's page on environment variables."""
_INIT_S = 20.0
"""Timeout in seconds for wandb's start online, instead of its default of 90."""
_HEADER_BYTES = 7
"""Header of a .wandb file: `:W&B`, two magic bytes and a version byte, as wandb 0.31 writes it."""
_LIMIT_S = 3600
_SHOWN = 300
_STEP = "train/global_step"
"""The axis of a run's curves. Source: transformers 5.23, integration_utils.py, WandbCallback."""


class Wandb(Tracker):
    """Weights & Biases, through transformers' callback."""

    says: ClassVar[str] = "Weights & Biases, one id per run over all attempts, a group per sweep"
    offline: ClassVar[str] = (
        "without a key (WANDB_API_KEY or netrc), or if the host does not answer within 3 s"
    )
    environment: ClassVar[tuple[Variable, ...]] = (  # docs.wandb.ai, "Environment variables"
        Variable(
            name="WANDB_API_KEY",
            meaning="Secret: the key of Weights & Biases. Jobs inherit it; it is never written to a file.",
            set_by="a person",
            read_by="rank, sync, wandb",
        ),
        Variable(
            name="WANDB_BASE_URL",
            meaning="Address of the server.",
            set_by="a person",
            read_by="rank, sync, wandb",
        ),
        Variable(
            name="WANDB_MODE",
            meaning="online, offline or disabled. Set to offline if the server cannot be reached.",
            set_by="rank, or a person",
            read_by="rank, wandb",
        ),
        Variable(
            name="WANDB_DIR", meaning="Folder of wandb's files: the run dir.", set_by="rank", read_by="wandb"
        ),
        Variable(
            name="WANDB_PROJECT", meaning="Project on the server.", set_by="rank", read_by="rank, wandb"
        ),
        Variable(name="WANDB_NAME", meaning="Name of the run on the server.", set_by="rank", read_by="wandb"),
        Variable(
            name="WANDB_RUN_ID",
            meaning="Id of the run, the same for all its attempts.",
            set_by="rank",
            read_by="rank, wandb",
        ),
        Variable(
            name="WANDB_RUN_GROUP",
            meaning="Name of the sweep, which groups its trials.",
            set_by="rank",
            read_by="rank, wandb",
        ),
        Variable(
            name="WANDB_RESUME",
            meaning="allow: later attempts continue the run of the first.",
            set_by="rank",
            read_by="wandb",
        ),
        Variable(
            name="NETRC",
            meaning="File with credentials, by default ~/.netrc.",
            set_by="a person",
            read_by="rank, sync, wandb",
        ),
    )
    packages: ClassVar[tuple[Package, ...]] = (
        Package(module="wandb", name="wandb", install="pip install wandb==0.31.0"),
    )
    secrets: ClassVar[tuple[str, ...]] = ("WANDB_API_KEY",)
    report_to: ClassVar[str | None] = "wandb"

    def variables(self, project: str) -> dict[str, str]:
        """The variable with the project."""
        return {"WANDB_PROJECT": project}

    def prepare(self, run: Tracked, environ: dict[str, str]) -> TrackingStart:
        """How wandb was started: online if possible, otherwise offline. transformers' callback continues that run."""
        environ.update(_environment(run))
        why = why_offline(environ, answers)
        if why is None:
            why = _start(environ)
        if why is not None:
            if environ.get("WANDB_MODE", "online") == "online":
                environ["WANDB_MODE"] = "offline"
            if environ["WANDB_MODE"] == "offline" and (failed := _start(environ)) is not None:
                why = f"{why}; nor did wandb start offline: {failed}"
                return TrackingStart(mode="failed", why=why, id=environ["WANDB_RUN_ID"])
        return TrackingStart(mode=environ.get("WANDB_MODE", "online"), why=why, id=environ["WANDB_RUN_ID"])

    def finish(self) -> None:
        """Ends the run, which flushes wandb's buffers."""
        wandb: Any = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            wandb.finish()

    def add_figures(
        self, run: Tracked, step: int, values: Mapping[str, Number], environ: Mapping[str, str]
    ) -> str | None:
        """Writes an offline part of the same run, which `sync` sends: two processes cannot send one run at the same time."""
        if environ.get("WANDB_MODE") == "disabled":
            return None
        wandb: Any = import_module("wandb")
        part = wandb.init(
            project=run.project,
            id=run.id,
            name=run.name,
            group=run.group,
            dir=str(run.folder),
            resume="allow",
            mode="offline",
            settings=wandb.Settings(init_timeout=_INIT_S, silent=True),
        )
        part.define_metric(_STEP)
        part.define_metric("*", step_metric=_STEP, step_sync=True)
        part.log({**values, _STEP: step})
        part.finish()
        wandb.teardown()  # wandb 0.31's own process writes the records of an offline run until it ends
        return "in the run dir until `sync` sends them"

    def unsent(self, folder: Path) -> list[Path]:
        """Folders of offline attempts without the .synced file that wandb creates after sending.

        An attempt that was killed before wandb wrote its first record has nothing to send, and wandb's command fails on it.
        """
        folders = sorted((folder / "wandb").glob("offline-run-*"))
        return [one for one in folders if _holds_records(one) and not any(one.glob("*.wandb.synced"))]

    def why_unsendable(self, environ: Mapping[str, str]) -> str | None:
        """The reason: no key, or a host that does not answer; with the way out. None if sending is possible."""
        why = why_unreachable(environ, answers)
        if why is None:
            return None
        way = "set it in your shell" if "WANDB_API_KEY" in why else "run it on a machine with network access"
        return f"{why}; {way}"

    def send(self, folder: Path, files: list[Path], environ: Mapping[str, str]) -> str | None:
        """The error, or None once wandb's own command has sent the attempts. The key is never on a command line."""
        command = [sys.executable, "-m", "wandb", "sync", *map(str, files)]
        kept = {name: value for name, value in environ.items() if name != "WANDB_MODE"}
        try:
            done = subprocess.run(
                command, cwd=folder, env=kept, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"it took more than {_LIMIT_S} s"
        if done.returncode == 0 and not self.unsent(folder):
            return None
        output = f"{done.stdout}\n{done.stderr}".strip().splitlines()
        return (output[-1] if output else "wandb sync failed")[:_SHOWN]


def why_offline(environ: Mapping[str, str], answers: Callable[[str], bool]) -> str | None:
    """The reason why wandb must keep its files for `python -m launcher sync`; None if it can send them."""
    mode = environ.get("WANDB_MODE", "")
    if mode and mode != "online":
        return f"WANDB_MODE is {mode}"
    return why_unreachable(environ, answers)


def why_unreachable(environ: Mapping[str, str], answers: Callable[[str], bool]) -> str | None:
    """The reason why nothing can be sent: no key, or no answer from the host; None if sending is possible."""
    host = environ.get("WANDB_BASE_URL") or HOST
    if not environ.get("WANDB_API_KEY") and not _has_netrc(environ, host):
        return "there is no WANDB_API_KEY"
    if not answers(host):
        return f"{urlsplit(host).hostname} did not answer within {PROBE_S:g} s"
    return None


def _environment(run: Tracked) -> dict[str, str]:
    known = {
        "WANDB_DIR": str(run.folder),
        "WANDB_RUN_ID": run.id,
        "WANDB_NAME": run.name,
        "WANDB_RESUME": "allow",
    }
    return {**known, "WANDB_RUN_GROUP": run.group} if run.group else known


def _start(environ: Mapping[str, str]) -> str | None:
    """The error in one line, or None, after wandb is started with the settings of the environment."""
    wandb: Any = import_module("wandb")
    try:
        wandb.init(
            project=environ.get("WANDB_PROJECT"),
            settings=wandb.Settings(init_timeout=_INIT_S, silent=True),
        )
    except wandb.Error as error:
        wandb.teardown()
        return str(error).strip().partition("\n")[0][:_SHOWN] or type(error).__name__
    return None


def _holds_records(folder: Path) -> bool:
    return any(file.stat().st_size > _HEADER_BYTES for file in folder.glob("*.wandb"))


def _has_netrc(environ: Mapping[str, str], host: str) -> bool:
    netrc = Path(environ.get("NETRC", "~/.netrc")).expanduser()
    return netrc.is_file() and str(urlsplit(host).hostname) in netrc.read_text(errors="replace")


SPEC = Wandb()
