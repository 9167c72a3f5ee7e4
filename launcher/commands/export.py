"""python -m launcher export [RUN]: writes the adapter or a merged model into a folder, after a check."""

import argparse
from pathlib import Path

from launcher.after.export import DTYPES, ExportedModel, describe, export
from launcher.cli.parser import add_run, chosen_run
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import print_json, warn


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--merged", action="store_true", help="the adapter and its base as one model")
    parser.add_argument("--dtype", choices=DTYPES, help="number format of the weights (default: as trained)")
    parser.add_argument("--to", type=Path, metavar="DIR", help="default: export/ in the run dir")
    parser.add_argument(
        "--checkpoint", metavar="STEP", help="a step, or newest, instead of the finished model"
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing export")


def _run(options: argparse.Namespace) -> int:
    """The exit code; 3 if the check of the export failed. It is kept all the same."""
    result = export(
        chosen_run(options), merged=options.merged, dtype=options.dtype, to=options.to, checkpoint=options.checkpoint,
        force=options.force,
    )  # fmt: skip
    if result["warning"]:
        warn(result["warning"])
    if options.json:
        print_json(result)
    else:
        print(describe(result))
    return Exit.FAILED if result["why"] else Exit.OK


VERB = Verb(
    line="write a run's adapter or model with tokenizer, chat template and model card",
    about="It is loaded back and compared first.",
    example="export llama8b_lora --merged --dtype bf16",
    add=_add,
    run=_run,
    prints=ExportedModel,
    group="model",
)
