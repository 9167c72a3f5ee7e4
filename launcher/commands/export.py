"""python -m launcher export [RUN]: the adapter or a merged model in a folder, checked before it counts."""

import json
import sys
from pathlib import Path

from launcher.after.export import DTYPES, describe, export
from launcher.commands.options import add_run, chosen_run, make_parser
from launcher.errors import Exit


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
    result = export(
        chosen_run(options), merged=options.merged, dtype=options.dtype, to=options.to, checkpoint=options.checkpoint,
        force=options.force,
    )  # fmt: skip
    if result["warning"]:
        print(f"launcher: warning: {result['warning']}", file=sys.stderr)
    print(json.dumps(result) if options.json else describe(result))
    return Exit.OK
