"""Exports a run's adapter or model into a folder, after it was loaded back and compared."""

from pathlib import Path

from launcher.after.choose import chosen_checkpoint
from launcher.after.worker import showing, worker
from launcher.errors import RunError
from launcher.output import align
from launcher.protocol.work.requests import MakeExport
from launcher.protocol.work.results import ExportDone, ExportedModel
from launcher.run import RunDir
from launcher.units import mebibytes

DTYPES = ("bf16", "fp16", "fp32")


def export(
    run: RunDir, *, merged: bool, dtype: str | None, to: Path | None, checkpoint: str | None, force: bool
) -> ExportedModel:
    """The written export and its check; RunError if the folder exists."""
    chosen = chosen_checkpoint(run, checkpoint)
    target = (to or run.path / "export" / _name(merged, dtype, chosen)).absolute()
    check_free(target, force)
    request = MakeExport(
        run_dir=str(run.path),
        checkpoint=str(chosen) if chosen else None,
        to=str(target),
        merged=merged,
        dtype=dtype,
        force=force,
    )
    with worker(request) as work, showing() as show:
        return work.result(ExportDone, show).export


def describe(result: ExportedModel) -> str:
    """The written export and its check as text."""
    step = "" if result.step is None else f" of step {result.step}"
    lines = [
        ("export", result.path),
        ("holds", f"{result.kind}{step}, {result.dtype}, {mebibytes(result.bytes)}"),
        ("checked", f"FAILED: {result.why}" if result.why else _compared(result)),
    ]
    if result.effect is not None:
        lines.append(("training", f"changed the base's logits by {result.effect:.2g} of their size"))
    if result.answers:
        lines.append(("next", f"python -m launcher chat {result.path}"))
    return align(lines)


def _compared(result: ExportedModel) -> str:
    return (
        f"loaded back; logits differ from the trained model's by {result.difference:.2g} of their size "
        f"(rounding: at most {result.tolerance:g})"
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
