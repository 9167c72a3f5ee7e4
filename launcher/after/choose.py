"""The choice of weights for a verb: the finished model, a checkpoint of a run, or an export in a folder."""

from pathlib import Path

from launcher.checkpoint.folders import Broken, committed, look
from launcher.checkpoint.manifest import folder_name
from launcher.clusters.base import RunState
from launcher.errors import RunError, UsageError
from launcher.launching.model_files import check_weights
from launcher.protocol.work.requests import ModelChoice
from launcher.run import RunDir, find_run
from launcher.run.owner import check_trusted
from launcher.status.state import is_over, read_status

_ENDED = {
    RunState.FAILED: "has failed",
    RunState.CANCELLED: "was cancelled",
    RunState.PRUNED: "was ended early by its sweep",
    RunState.TIMEOUT: "was ended by its time limit",
    RunState.LOST: "is lost: its job is gone",
}
_MODEL_FILES = ("config.json", "adapter_config.json")
"""Every folder with a loadable model or adapter has one of these files."""


def holds_model(folder: Path) -> bool:
    """Whether a model or an adapter can be loaded from the folder."""
    return any((folder / file).is_file() for file in _MODEL_FILES)


def chosen_checkpoint(run: RunDir, wanted: str | None) -> Path | None:
    """The folder of the requested step; None for the finished model, which must exist and be whole."""
    if wanted:
        return find_checkpoint(run, wanted)
    if not holds_model(run.export):
        raise RunError(_no_model(run))
    check_weights(run.export)
    return None


def _no_model(run: RunDir) -> str:
    """Why the run has no finished model, and what to do."""
    status = read_status(run)
    state, name = status.state, run.name
    saved = committed(run.checkpoints)
    steps = (
        f", or use its newest checkpoint (step {saved[0].manifest.step}) with --checkpoint newest"
        if saved
        else ""
    )
    if state is RunState.PLANNED:
        return (
            f"{name} has no model yet: it was only planned (a dry run) and never submitted; start it with "
            f"python -m launcher resume {name} dry_run=false"
        )
    if not is_over(state):
        until = f"wait until it is finished (python -m launcher follow {name}){steps}"
        return f"{name} has no model yet: it is {state.value}; {until}"
    if state is RunState.FINISHED:
        return f"{name} is finished, but there is no model in {run.export}; was it deleted?"
    why = f" ({status.error})" if status.error else ""
    return (
        f"{name} {_ENDED.get(state, state.value)}{why} and has no finished model; python -m launcher logs {name} shows why, "
        f"python -m launcher resume {name} continues it{steps}"
    )


def find_checkpoint(run: RunDir, wanted: str) -> Path:
    """The folder of a step, or of the newest one; RunError names the committed steps."""
    known = committed(run.checkpoints)
    if wanted == "newest" and known:
        return known[0].path
    if wanted != "newest" and not wanted.isdecimal():
        raise UsageError(f"--checkpoint {wanted} must be a step, such as 100, or newest")
    if wanted != "newest":
        folder = run.checkpoints / folder_name(int(wanted))
        if folder.is_dir():
            found = look(folder)
            if isinstance(found, Broken):
                raise RunError(f"{found.reason}; choose another step")
            return folder
    steps = ", ".join(str(found.manifest.step) for found in reversed(known)) or "none"
    raise RunError(f"{run.name} has no checkpoint {wanted}; committed steps: {steps}")


def choose_model(
    runs_dir: Path, name: str | None, *, checkpoint: str | None, base: bool, trust_run: bool
) -> ModelChoice:
    """The model of a run or of an export; RunError if it has none, ConfigError for an export whose weights are incomplete,
    UsageError for weights that an export does not have."""
    folder = exported(name)
    if folder is not None:
        if base or checkpoint:
            raise UsageError(f"{folder} is an export; {'--base' if base else '--checkpoint'} needs a run")
        check_weights(folder)
        return ModelChoice(run_dir="", folder=str(folder), checkpoint=None, base=False)
    run = find_run(runs_dir, name)
    check_trusted(run, trust_run)
    chosen = None if base else chosen_checkpoint(run, checkpoint)
    return ModelChoice(
        run_dir=str(run.path), folder=None, checkpoint=str(chosen) if chosen else None, base=base
    )


def exported(name: str | None) -> Path | None:
    """The named folder if it holds a model and is not a run; None otherwise."""
    folder = Path(name).absolute() if name else None
    return folder if folder and holds_model(folder) else None
