"""Where trackers write, and under which id."""

import hashlib
import os
import sys
from pathlib import Path

from launcher.plan import LaunchPlan
from launcher.run import RunDir


def point_trackers(run: RunDir, plan: LaunchPlan) -> None:
    """Sets the trackers' environment: one id per run over all attempts, all files in the run dir.

    wandb waits 90 s for a network that is not there, so without a key it is offline from the start.
    """
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(run.path / "tensorboard")
    os.environ["WANDB_DIR"] = str(run.path)
    os.environ["WANDB_RUN_ID"] = hashlib.sha256(run.name.encode()).hexdigest()[:16]
    os.environ["WANDB_NAME"] = run.name
    os.environ["WANDB_RESUME"] = "allow"
    if not os.environ.get("WANDB_API_KEY") and not _has_netrc():
        os.environ.setdefault("WANDB_MODE", "offline")


def finish_trackers() -> None:
    """Writes out what a tracker still holds."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()


def _has_netrc() -> bool:
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    return netrc.is_file() and "api.wandb.ai" in netrc.read_text(errors="replace")
