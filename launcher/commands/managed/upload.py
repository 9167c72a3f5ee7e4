"""python -m launcher managed upload: check a data file of any format and upload it, once."""

import argparse
from pathlib import Path

from launcher.cli.verb import Verb
from launcher.data.progress import progress
from launcher.errors import Exit
from launcher.managed.api import Api
from launcher.managed.create import upload
from launcher.managed.job import Uploaded
from launcher.managed.methods import METHODS
from launcher.managed.records import Records
from launcher.managed.rows import prepare
from launcher.output import align, print_json, print_text


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="training rows, in any format that data check reads"
    )
    parser.add_argument("--method", choices=METHODS, default="supervised", help="dpo needs preference pairs")


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    records = Records(options.runs_dir.absolute())
    api = Api()
    with progress(options.file, "checking data"):
        prepared = prepare(options.file, records.data, options.method)
    found = upload(api, records, options.file, prepared)
    lines = [("file", str(found["file"])), ("rows", f"{prepared.rows:,}")]
    print_json(found) if options.json else print_text(align(lines), flush=True)
    return Exit.OK


VERB = Verb(
    line="check a data file of any format and upload it, once",
    example="managed upload train.jsonl",
    add=_add,
    run=_run,
    prints=Uploaded,
)
