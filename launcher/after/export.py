"""Exports a run's adapter or model into a folder, after it was loaded back and compared."""

from pathlib import Path
from typing import Any, TypedDict, cast

from launcher.after.choose import chosen_checkpoint
from launcher.after.worker import showing, worker
from launcher.errors import RunError
from launcher.output import align
from launcher.run import RunDir
from launcher.units import mebibytes


class ExportedModel(TypedDict):
    """A run's adapter or model, written into a folder and checked."""

    run: str
    """name/date_time."""
    path: str
    """Absolute path of the folder."""
    kind: str
    """adapter, model, or merged: an adapter and its base as one model."""
    step: int | None
    """The step of its weights; null if it is not known."""
    dtype: str
    """Number format of its weights."""
    bytes: int
    """Size of the folder."""
    verified: str
    """logits if its logits equal the trained model's up to rounding; failed if they differ or could not be compared."""
    difference: float | None
    """Difference between its logits and the trained model's, relative to their size; null if the check failed."""
    tolerance: float | None
    """The largest difference that rounding explains. Above it the check fails, but the export is kept. Null if it failed."""
    why: str | None
    """Why the check failed; null if it did not fail."""
    effect: float | None
    """Difference between its logits and the base model's, relative to their size; null if not merged."""
    answers: bool
    """Whether it answers in a chat; a reward model or a classifier gives scores."""
    warning: str | None
    """What the user should know, in one sentence; null for nothing."""
    data: list[dict[str, Any]]
    """The files that it was trained on, with their digests."""


DTYPES = ("bf16", "fp16", "fp32")


def export(
    run: RunDir, *, merged: bool, dtype: str | None, to: Path | None, checkpoint: str | None, force: bool
) -> ExportedModel:
    """The written export and its check; RunError if the folder exists."""
    chosen = chosen_checkpoint(run, checkpoint)
    target = (to or run.path / "export" / _name(merged, dtype, chosen)).absolute()
    check_free(target, force)
    request = {
        "verb": "export", "run_dir": str(run.path), "to": str(target), "merged": merged, "dtype": dtype,
        "checkpoint": str(chosen) if chosen else None, "force": force,
    }  # fmt: skip
    with worker(request) as work, showing() as show:
        return cast("ExportedModel", work.result(show))


def describe(result: ExportedModel) -> str:
    """The written export and its check as text."""
    step = "" if result["step"] is None else f" of step {result['step']}"
    lines = [
        ("export", result["path"]),
        ("holds", f"{result['kind']}{step}, {result['dtype']}, {mebibytes(result['bytes'])}"),
        ("checked", f"FAILED: {result['why']}" if result["why"] else _compared(result)),
    ]
    if result["effect"] is not None:
        lines.append(("training", f"changed the base's logits by {result['effect']:.2g} of their size"))
    if result["answers"]:
        lines.append(("next", f"python -m launcher chat {result['path']}"))
    return align(lines)


def _compared(result: ExportedModel) -> str:
    return (
        f"loaded back; logits differ from the trained model's by {result['difference']:.2g} of their size "
        f"(rounding: at most {result['tolerance']:g})"
    )


def _name(merged: bool, dtype: str | None, checkpoint: Path | None) -> str:
    kind = "merged" if merged else "model"
    return "_".join([kind, *([dtype] if dtype else []), *([checkpoint.name] if checkpoint else [])])


def check_free(target: Path, force: bool) -> None:
    """Raises RunError for a folder that must not be overwritten."""
    if not target.exists():
        return
    if not force:
        raise RunError(f"{target} exists; give --force to overwrite it, or another folder with --to")
    if not is_export(target):
        raise RunError(
            f"{target} is not an export, and --force overwrites only exports; give another folder with --to"
        )


def is_export(folder: Path) -> bool:
    """Whether this program exported the folder. Its card (launcher/train/after/card.py) then has this program's tag and names
    the run. Any other model could be the only copy."""
    card = folder / "README.md"
    text = card.read_text(errors="replace") if card.is_file() else ""
    return (
        text.startswith("---\n") and "\n- launcher\n" in text.split("---\n")[1] and ", by the run `" in text
    )
