"""Trackers beside metrics.jsonl: where they write, under which id, and that training never waits for one."""

import hashlib
import os
import sys
from typing import Any

from launcher.plan import LaunchPlan
from launcher.run import RunDir
from launcher.run.events.ranks import Tracking
from launcher.tracker_host import answers, why_offline

_INIT_S = 20.0
"""Seconds that wandb may take to start online, in the place of its 90."""


def wandb_environment(run: RunDir, plan: LaunchPlan) -> dict[str, str]:
    """What wandb is told: one id per run over all attempts, a group for a sweep, all files in the run dir.

    The id is made of the planned run dir, which no two runs of a person share, and stays when the folder is moved.
    """
    known = {
        "WANDB_DIR": str(run.path),
        "WANDB_RUN_ID": hashlib.sha256(plan.facts.run_dir.encode()).hexdigest()[:16],
        "WANDB_NAME": run.name,
        "WANDB_RESUME": "allow",
    }
    sweep = run.path.parent.name
    return {**known, "WANDB_RUN_GROUP": sweep} if sweep.startswith("sweep_") else known


def point_trackers(run: RunDir, plan: LaunchPlan, attempt: int, *, is_main: bool) -> None:
    """Tells the trackers where to write, and starts wandb on rank 0: online where it can, else offline, never in more than
    some seconds. transformers' callback then goes on with that run."""
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(run.path / "tensorboard")
    if "wandb" not in _asked(plan) or not is_main:
        return
    os.environ.update(wandb_environment(run, plan))
    why = why_offline(os.environ, answers)
    if why is None:
        why = _start()
    if why is not None:
        if os.environ.get("WANDB_MODE", "online") == "online":
            os.environ["WANDB_MODE"] = "offline"
        if os.environ["WANDB_MODE"] == "offline":
            _start()
    facts: dict[str, Any] = {"id": os.environ["WANDB_RUN_ID"], "group": os.environ.get("WANDB_RUN_GROUP")}
    mode = os.environ.get("WANDB_MODE", "online")
    run.note(Tracking(attempt=attempt, tracker="wandb", mode=mode, why=why, **facts))


def _start() -> str | None:
    """Starts wandb as the environment says; what was wrong, in a line."""
    import wandb

    try:
        wandb.init(
            project=os.environ.get("WANDB_PROJECT"),
            settings=wandb.Settings(init_timeout=_INIT_S, silent=True),
        )
    except wandb.Error as error:
        wandb.teardown()
        return str(error).strip().partition("\n")[0][:300] or type(error).__name__
    return None


def _asked(plan: LaunchPlan) -> tuple[str, ...]:
    asked = plan.trainer_args["report_to"]
    return (asked,) if isinstance(asked, str) else tuple(asked)


def finish_trackers() -> None:
    """Writes out what a tracker still holds."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()
