"""python -m launcher data convert IN OUT --to FORMAT: writes a data file's rows in another format."""

import argparse
from pathlib import Path

from launcher.cli.reading import add_reading, reading_of_options
from launcher.cli.verb import Verb
from launcher.data.convert import check_free, convert, targets, usual_target
from launcher.data.places import find_files, is_address
from launcher.data.printed import ConvertedData
from launcher.data.progress import progress
from launcher.errors import DataError, Exit
from launcher.output import print_json, print_text
from launcher.units import plural


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", help="the file to read, in any format that data check reads")
    parser.add_argument(
        "target", type=Path, metavar="OUT", help=".jsonl, .json (one array), .csv, .tsv or .parquet"
    )
    parser.add_argument(
        "--to",
        choices=targets(),
        help="the format of OUT's rows (default: messages for chats, preference for pairs, ...)",
    )
    add_reading(parser)
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    source: str = options.source
    target: Path = options.target
    inputs = () if is_address(source) else find_files(source)
    if target.exists() and any(Path(one).samefile(target) for one in inputs):
        raise DataError(f"{target} is also the input file; name another output file")
    check_free(target, options.force)
    reading = reading_of_options(options)
    to: str = options.to or usual_target(source, reading)
    with progress(source, "convert", "rows") as advance:
        counts = convert(source, target, to, reading, advance)
    if options.json:
        result: ConvertedData = {
            "path": str(target),
            "to": to,
            "rows": counts["rows"],
            "rejected_left_out": counts["rejected_left_out"],
            "invalid_left_out": counts["invalid_left_out"],
        }
        print_json(result)
        return Exit.OK
    left_out, invalid = counts["rejected_left_out"], counts["invalid_left_out"]
    print_text(f"{plural(counts['rows'], 'row')} as {to}: {target}")
    if invalid:
        print_text(f"{plural(invalid, 'invalid row')} left out")
    if left_out:
        print_text(f"{left_out:,} rejected answers were left out: {to} cannot hold them")
    return Exit.OK


VERB = Verb(
    line="write a data file in another format",
    example="data convert alpaca.json chats.jsonl --to messages",
    add=_add,
    run=_run,
    prints=ConvertedData,
    runs_dir=False,
)
