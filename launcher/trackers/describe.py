"""The facts about a run for its tracker, equal in every process that adds to the run there."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launcher.config import Config
from launcher.trackers.base import Tracked


def describe(
    folder: Path,
    name: str,
    config: Config,
    attempt: int,
    *,
    planned_dir: str,
    method: str,
    arguments: Mapping[str, Any],
) -> Tracked:
    """The facts. The id derives from the planned run dir: it is unique, and stays if the folder is moved.

    `folder` and `name` are those of the run dir, and `method` and `arguments` are trainer and trainer_args of the plan.
    """
    sweep = folder.parent.name
    plain = {name: value for name, value in arguments.items() if isinstance(value, str | int | float)}
    return Tracked(
        folder=folder,
        name=name,
        id=hashlib.sha256(planned_dir.encode()).hexdigest()[:16],
        group=sweep if sweep.startswith("sweep_") else None,
        project=config.tracker.project,
        attempt=attempt,
        settings={"model": config.model.name_or_path, "trainer": method, **plain},
    )
