"""python -m launcher export [RUN]: the adapter or a merged model in a folder, checked before it counts."""

import json
import sys
from pathlib import Path
from typing import Any

from launcher.checkpoint.find import Broken, committed, look
from launcher.checkpoint.manifest import folder_name
from launcher.commands.options import add_run, chosen_run, make_parser
from launcher.errors import Exit, RunError, UsageError
from launcher.launching.summary import align
from launcher.launching.worker import showing, worker
from launcher.run import RunDir

DTYPES = ("bf16", "fp16", "fp32")


def main(arguments: list[str]) -> int:
    """The exit code; 1 where the export is not what was trained, and then there is none."""
    parser = make_parser(
        "export",
        "Write a run's adapter or model with tokenizer, chat template and model card; it is loaded back first.",
        "python -m launcher export llama8b_lora --merged --dtype bf16",
    )
    add_run(parser)
    parser.add_argument("--merged", action="store_true", help="the adapter and its base as one model")
    parser.add_argument("--dtype", choices=DTYPES, help="number format of the weights (default: as trained)")
    parser.add_argument("--to", type=Path, metavar="DIR", help="default: export/ in the run dir")
    parser.add_argument(
        "--checkpoint", metavar="STEP", help="a step, or newest, in the place of the finished model"
    )
    parser.add_argument("--force", action="store_true", help="write over an export that exists")
    options = parser.parse_args(arguments)
    run = chosen_run(options)
    checkpoint = chosen_checkpoint(run, options.checkpoint)
    target: Path = (options.to or run.path / "export" / _name(options, checkpoint)).absolute()
    _check_free(target, options.force)
    request = {
        "verb": "export", "run_dir": str(run.path), "to": str(target), "merged": options.merged, "dtype": options.dtype,
        "checkpoint": str(checkpoint) if checkpoint else None, "force": options.force,
    }  # fmt: skip
    with worker(request) as work, showing() as show:
        result = work.result(show)
    if result["warning"]:
        print(f"launcher: warning: {result['warning']}", file=sys.stderr)
    print(json.dumps(result) if options.json else describe(result))
    return Exit.OK


def chosen_checkpoint(run: RunDir, asked: str | None) -> Path | None:
    """The folder of a step that was asked for; None for the finished model, which must be there."""
    if asked:
        return find_checkpoint(run, asked)
    if not any((run.export / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise RunError(
            f"{run.name} has no model yet; wait for its end, or name one of the steps that python -m launcher checkpoints "
            f"{run.name} lists with --checkpoint STEP, or newest"
        )
    return None


def find_checkpoint(run: RunDir, asked: str) -> Path:
    """The folder of a step, or of the newest; RunError names the steps that there are."""
    known = committed(run.checkpoints)
    if asked == "newest" and known:
        return known[0].path
    if asked != "newest" and not asked.isdecimal():
        raise UsageError(f"--checkpoint {asked} must be a step, such as 100, or newest")
    if asked != "newest":
        folder = run.checkpoints / folder_name(int(asked))
        if folder.is_dir():
            found = look(folder)
            if isinstance(found, Broken):
                raise RunError(f"{found.reason}; choose another step")
            return folder
    steps = ", ".join(str(found.manifest.step) for found in reversed(known)) or "none"
    raise RunError(f"{run.name} has no checkpoint {asked}; committed steps: {steps}")


def describe(result: dict[str, Any]) -> str:
    """What was written and how it was checked."""
    step = "" if result["step"] is None else f" of step {result['step']}"
    lines = [
        ("export", result["path"]),
        ("holds", f"{result['kind']}{step}, {result['dtype']}, {result['bytes'] / 2**20:.1f} MiB"),
        (
            "checked",
            f"loaded back; logits differ from the trained model's by {result['difference']:.2g} of their size "
            f"(rounding: at most {result['tolerance']:g})",
        ),
    ]
    if result["effect"] is not None:
        lines.append(("training", f"changed the base's logits by {result['effect']:.2g} of their size"))
    if result["answers"]:
        lines.append(("next", f"python -m launcher chat {result['path']}"))
    return align(lines)


def _name(options: Any, checkpoint: Path | None) -> str:
    kind = "merged" if options.merged else "model"
    parts = [kind, *([options.dtype] if options.dtype else []), *([checkpoint.name] if checkpoint else [])]
    return "_".join(parts)


def _check_free(target: Path, force: bool) -> None:
    """RunError for a folder that must not be written over."""
    if not target.exists():
        return
    if not force:
        raise RunError(f"{target} exists; give --force to write it anew, or another folder with --to")
    if not is_export(target):
        raise RunError(
            f"{target} is no export, and --force writes over exports alone; give another folder with --to"
        )


def is_export(folder: Path) -> bool:
    """Whether an export of this program wrote the folder: by its card (launcher/train/after/card.py), which has this program's
    tag and names the run. Any other model may be one that is nowhere else."""
    card = folder / "README.md"
    text = card.read_text(errors="replace") if card.is_file() else ""
    return (
        text.startswith("---\n") and "\n- launcher\n" in text.split("---\n")[1] and ", by the run `" in text
    )
