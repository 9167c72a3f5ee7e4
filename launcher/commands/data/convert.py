"""python -m launcher data convert IN OUT --to FORMAT: writes a data file's rows in another format."""

import argparse
from pathlib import Path

from launcher.cli.verb import Verb
from launcher.data.convert import convert
from launcher.data.free import check_free
from launcher.data.printed import Converted
from launcher.data.progress import progress
from launcher.data.write import targets
from launcher.errors import DataError, Exit
from launcher.formats.registry import AUTO, known_formats
from launcher.output import print_json
from launcher.units import plural


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="IN", help="the file to read, in any format that data check reads"
    )
    parser.add_argument(
        "target", type=Path, metavar="OUT", help=".jsonl, .json (one array), .csv, .tsv or .parquet"
    )
    parser.add_argument("--to", required=True, choices=targets(), help="the format of OUT's rows")
    parser.add_argument(
        "--format",
        choices=(AUTO, *known_formats().formats),
        default=AUTO,
        help=f"format of the rows (default: {AUTO})",
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    source: Path = options.source
    target: Path = options.target
    if source.exists() and target.exists() and source.samefile(target):
        raise DataError(f"{target} is also the input file; name another output file")
    check_free(target, options.force)
    with progress(source, "convert", "rows") as advance:
        counts = convert(source, target, options.to, options.format, advance)
    if options.json:
        told: Converted = {
            "path": str(target),
            "to": options.to,
            "rows": counts["rows"],
            "rejected_left_out": counts["rejected_left_out"],
        }
        print_json(told)
        return Exit.OK
    left_out = counts["rejected_left_out"]
    print(f"{plural(counts['rows'], 'row')} as {options.to}: {target}")
    if left_out:
        print(f"{left_out:,} rejected answers were left out: {options.to} cannot hold them")
    return Exit.OK


VERB = Verb(
    line="write a data file in another format",
    example="data convert chats.csv chats.jsonl --to messages",
    add=_add,
    run=_run,
    prints=Converted,
    runs_dir=False,
)
