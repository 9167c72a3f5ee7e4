"""python -m launcher data check FILE: the faults and the contents of a data file."""

import argparse
import json
from pathlib import Path

from launcher.cli.values import positive
from launcher.cli.verb import Verb
from launcher.config import Config
from launcher.data.check import Asked, check
from launcher.data.free import check_free
from launcher.data.portion import Portion
from launcher.data.progress import progress
from launcher.data.report import describe, sample_text
from launcher.errors import Exit, UsageError
from launcher.formats.registry import AUTO, known_formats
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
    parser.add_argument(
        "--eval-fraction", type=float, metavar="F", help="rows that data.eval_fraction=F would hold out"
    )
    parser.add_argument(
        "--eval-group", metavar="COLUMN", help="keep its rows with the same value on one side"
    )
    parser.add_argument(
        "--max-samples",
        type=positive,
        metavar="N",
        help="as data.max_samples=N: only the first N rows are used",
    )
    parser.add_argument(
        "--seed", type=int, default=Config.seed, metavar="N", help=f"the run's seed (default: {Config.seed})"
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def _run(options: argparse.Namespace) -> int:
    """The exit code: 1 if the check finds an error."""
    portion = Portion(
        eval_fraction=options.eval_fraction,
        eval_group=options.eval_group,
        max_samples=options.max_samples,
        seed=options.seed,
    )
    if problem := portion.problem(options.eval):
        name, why = problem
        raise UsageError(f"--{name.replace('_', '-')} {getattr(options, name)}: data.{name} {why}")
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
        portion=portion,
    )
    with progress(options.file, "check") as advance:
        report = check(asked, advance)
    if options.sample:
        write_text(options.sample_out, sample_text(options.file, report.sample))
    print(json.dumps(report.to_dict(), ensure_ascii=False) if options.json else describe(report))
    if options.sample and not options.json:
        print(f"\n{len(report.sample)} rows to read: {options.sample_out}")
    return Exit.REFUSED if report.verdict == "error" else Exit.OK


VERB = Verb(
    line="show the faults and the contents of a data file",
    about="The exit code is 1 if there is an error.",
    example="data check train.jsonl --eval eval.jsonl --model smollm2_135m",
    add=_add,
    run=_run,
    runs_dir=False,
)
