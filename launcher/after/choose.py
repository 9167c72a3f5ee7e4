"""The choice of weights for a verb: the finished model, a checkpoint of a run, or an export in a folder."""

from pathlib import Path

from launcher.checkpoint.find import Broken, committed, look
from launcher.checkpoint.manifest import folder_name
from launcher.errors import RunError, UsageError
from launcher.run import RunDir

_MODEL_FILES = ("config.json", "adapter_config.json")
"""Every folder with a loadable model or adapter has one of them."""


def holds_model(folder: Path) -> bool:
    """Whether a model or an adapter can be loaded from the folder."""
    return any((folder / file).is_file() for file in _MODEL_FILES)


def chosen_checkpoint(run: RunDir, wanted: str | None) -> Path | None:
    """The folder of the requested step; None for the finished model, which must exist."""
    if wanted:
        return find_checkpoint(run, wanted)
    if not holds_model(run.export):
        raise RunError(
            f"{run.name} has no model yet; wait for its end, or name one of the steps that python -m launcher checkpoints "
            f"{run.name} lists with --checkpoint STEP, or newest"
        )
    return None


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


def exported(name: str | None) -> Path | None:
    """The named folder if it holds a model and is not a run; None otherwise."""
    folder = Path(name).absolute() if name else None
    return folder if folder and holds_model(folder) else None
