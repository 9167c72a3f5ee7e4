"""python -m launcher data check FILE: the faults and the contents of a data file."""

import argparse
from pathlib import Path

from launcher.cli.values import positive
from launcher.cli.verb import Verb
from launcher.data.check import Asked, check
from launcher.data.free import check_free
from launcher.data.printed import DataReport
from launcher.data.progress import progress
from launcher.data.report import describe, sample_text
from launcher.errors import Exit
from launcher.formats.registry import AUTO, known_formats
from launcher.output import print_json
from launcher.run import write_text


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="JSONL, JSON array, CSV, TSV, TXT or Parquet")
    parser.add_argument(
        "--eval", type=Path, metavar="FILE", help="evaluation file that FILE must not overlap with"
    )
    parser.add_argument(
        "--model", metavar="M", help="count its tokens: a name from conf/model, a folder or a hub id"
    )
    parser.add_argument(
        "--max-length",
        type=positive,
        metavar="N",
        help="tokens kept per row (default: the model's, or 2048)",
    )
    parser.add_argument(
        "--sample", type=positive, default=0, metavar="N", help="write N rows for you to read"
    )
    parser.add_argument(
        "--sample-out",
        type=Path,
        default=Path("sample.md"),
        metavar="F",
        help="file for --sample (default: sample.md)",
    )
    parser.add_argument(
        "--format",
        choices=(AUTO, *known_formats().formats),
        default=AUTO,
        help=f"format of the rows (default: {AUTO})",
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def _run(options: argparse.Namespace) -> int:
    """The exit code: 1 if the check finds an error."""
    tokenizer, length = None, None
    if options.model:
        from launcher.data.tokenizer import load_tokenizer

        tokenizer, length = load_tokenizer(options.model)
        length = length or min(tokenizer.model_max_length, 1 << 20)
    if options.sample:
        check_free(options.sample_out, options.force)
    asked = Asked(
        path=options.file,
        eval_path=options.eval,
        format=options.format,
        max_length=options.max_length or length or 2048,
        tokenizer=tokenizer,
        sample=options.sample,
    )
    with progress(options.file, "check") as advance:
        report = check(asked, advance)
    if options.sample:
        write_text(options.sample_out, sample_text(options.file, report.sample))
    if options.json:
        print_json(report.to_dict())
    else:
        print(describe(report))
    if options.sample and not options.json:
        print(f"\n{len(report.sample)} rows to read: {options.sample_out}")
    return Exit.REFUSED if report.verdict == "error" else Exit.OK


VERB = Verb(
    line="show the faults and the contents of a data file",
    about="The exit code is 1 if there is an error.",
    example="data check train.jsonl --eval eval.jsonl --model smollm2_135m",
    add=_add,
    run=_run,
    prints=DataReport,
    runs_dir=False,
)
