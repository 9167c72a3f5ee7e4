"""What a new run takes from earlier ones: a checkpoint to start from, and their measurements."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from launcher.config import Config
from launcher.errors import ConfigError, RunError
from launcher.plan.save import RESTART_S, SAVE_S
from launcher.run import RunDir, find_run

if TYPE_CHECKING:  # most runs start from no checkpoint
    from launcher.checkpoint.folders import FoundCheckpoint


def resume_source(config: Config) -> str:
    """auto, never, or an absolute path that holds a committed checkpoint; ConfigError for anything else."""
    if config.resume in ("auto", "never"):
        if config.resume_weights_only and not saves_weights_only(config):
            raise ConfigError(
                f"resume_weights_only=true needs resume=PATH, and resume={config.resume}; name a checkpoint or another run"
            )
        return config.resume
    runs_dir = Path(config.runs_dir).absolute()
    path = Path(config.resume).absolute()
    if not path.is_dir():
        try:
            path = find_run(runs_dir, config.resume).path
        except RunError:
            raise ConfigError(
                f"resume={config.resume} is neither a folder nor a run under {runs_dir}; use resume=auto, resume=never, a "
                "checkpoint's path or a run's name"
            ) from None
    path = path.resolve()
    _check_whole(config, path)
    if not path.is_relative_to(runs_dir.resolve()) and not config.trust_checkpoint:
        raise ConfigError(
            f"resume={config.resume} is outside runs_dir={runs_dir}: its author determines what this run's model says; "
            "if you trust the author, add trust_checkpoint=true"
        )
    return str(path)


def saves_weights_only(config: Config) -> bool:
    """Whether a plugin of the run saves checkpoints without the optimizer's state."""
    options = (cast("dict[str, Any]", one) for one in config.plugins.values() if isinstance(one, dict))
    return any(one.get("weights_only") for one in options)


def _check_whole(config: Config, path: Path) -> None:
    from launcher.checkpoint.folders import (
        FoundCheckpoint,
        committed,
        look,
    )  # most runs start from no checkpoint

    name, inside = config.resume, path / "checkpoints"
    if inside.is_dir():
        newest = next(iter(committed(inside)), None)
        if newest is None:
            raise ConfigError(f"resume={name}: {inside} has no committed checkpoint; name another run")
        return _check_state(config, newest)
    found = look(path)
    if not isinstance(found, FoundCheckpoint):
        raise ConfigError(f"resume={name}: {found.reason}; name a folder step_N or a run, or use resume=auto")
    return _check_state(config, found)


def _check_state(config: Config, found: "FoundCheckpoint") -> None:
    if found.manifest.weights_only and not config.resume_weights_only:
        raise ConfigError(
            f"resume={config.resume}: {found.path.name} has no optimizer state, because it was saved with "
            "plugins.sharded_checkpoint.weights_only=true; add resume_weights_only=true to begin with its weights"
        )


def measured(runs_dir: Path, name: str) -> dict[str, float]:
    """save_s and restart_s as the newest run of that name measured them, else the assumed values; shutdown_s, 0 if unknown."""
    known = {"save_s": SAVE_S, "restart_s": RESTART_S, "shutdown_s": 0.0}
    whole_s = step_s = 0.0
    newest = next((run for run in _newest_first(runs_dir / name) if run.submitted), None)
    if newest and _has_measured(newest):
        from launcher.run.events.checkpoints import Saved, Stepping
        from launcher.run.events.ranks import Measured

        for event in newest.read_events(Saved, Stepping, Measured):
            if isinstance(event, Saved):
                known["save_s"] = max(event.blocked_s, 1e-3)
                whole_s = max(whole_s, event.total_s or 0.0)
            elif isinstance(event, Stepping):
                known["restart_s"] = event.restart_s
            else:
                step_s = event.step_s
    if whole_s and step_s:
        known["shutdown_s"] = round(2 * step_s + whole_s, 3)
    return known


def _newest_first(folder: Path) -> Iterator[RunDir]:
    """The planned runs of a name. Each is looked at only when it is asked for: there can be thousands."""
    with suppress(OSError):
        for name in sorted(os.listdir(folder), reverse=True):  # noqa: PTH208 - a Path for each costs time
            if (folder / name / "plan.json").exists():
                yield RunDir(folder / name)


def _has_measured(run: RunDir) -> bool:
    """Whether the run has such an event; a run that still waits in a queue has none, and nothing need be imported for it."""
    try:
        written = run.events.read_bytes()
    except OSError:
        return False
    return any(kind in written for kind in (b'"saved"', b'"stepping"', b'"measured"'))
