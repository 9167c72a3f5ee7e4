"""python -m launcher data check|convert|rules: a data file's faults, and its rows in another format."""

import argparse
import json
from pathlib import Path

from launcher.data.check import Asked, check
from launcher.data.convert import convert
from launcher.data.progress import progress
from launcher.data.report import describe, sample_text
from launcher.data.rules import RULES
from launcher.data.write import targets
from launcher.errors import DataError, Exit
from launcher.formats.registry import AUTO, known_formats
from launcher.run import write_text
from launcher.units import plural


def main(arguments: list[str]) -> int:
    """The exit code: 1 where a check finds an error."""
    options = _parser().parse_args(arguments)
    return options.run(options)


def _check(options: argparse.Namespace) -> int:
    tokenizer, length = None, None
    if options.model:
        from launcher.data.tokenizer import load_tokenizer

        tokenizer, length = load_tokenizer(options.model)
        length = length or min(tokenizer.model_max_length, 1 << 20)
    if options.sample:
        _check_free(options.sample_out, options.force)
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
    print(json.dumps(report.to_dict(), ensure_ascii=False) if options.json else describe(report))
    if options.sample and not options.json:
        print(f"\n{len(report.sample)} rows to read: {options.sample_out}")
    return Exit.REFUSED if report.verdict == "error" else Exit.OK


def _convert(options: argparse.Namespace) -> int:
    source: Path = options.source
    target: Path = options.target
    if source.exists() and target.exists() and source.samefile(target):
        raise DataError(f"{target} is the file that is read; give another name for what is written")
    _check_free(target, options.force)
    with progress(source, "convert", "rows") as advance:
        counts = convert(source, target, options.to, options.format, advance)
    if options.json:
        print(json.dumps({"path": str(target), "to": options.to, **counts}))
        return Exit.OK
    left_out = counts["rejected_left_out"]
    print(f"{plural(counts['rows'], 'row')} as {options.to}: {target}")
    if left_out:
        print(f"{left_out:,} rejected answers were left out: {options.to} has no place for them")
    return Exit.OK


def _rules(options: argparse.Namespace) -> int:
    if options.json:
        print(
            json.dumps({name: {"level": rule.level, "reason": rule.reason} for name, rule in RULES.items()})
        )
        return Exit.OK
    for name, rule in RULES.items():
        print(f"{name:<18}  {rule.level:<7}  {rule.reason}")
    return Exit.OK


def _check_free(target: Path, force: bool) -> None:
    if target.exists() and not (force and target.is_file()):
        raise DataError(f"{target} exists; give --force to write it anew, or another name")
    if not target.absolute().parent.is_dir():
        raise DataError(f"{target.absolute().parent} is not a folder; make it, or choose another")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m launcher data",
        description="Check a data file before a GPU is taken, or write it in another format.",
        epilog="example: python -m launcher data check train.jsonl --eval eval.jsonl --model smollm2_135m",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(required=True, metavar="check|convert|rules")
    check_ = verbs.add_parser(
        "check", help="what is wrong with a file, and what is in it", allow_abbrev=False
    )
    check_.add_argument("file", type=Path, metavar="FILE", help="JSONL, JSON array, CSV, TSV, TXT or Parquet")
    check_.add_argument(
        "--eval", type=Path, metavar="FILE", help="evaluation file that FILE must not overlap with"
    )
    check_.add_argument(
        "--model", metavar="M", help="count its tokens: a name from conf/model, a folder or a hub id"
    )
    check_.add_argument(
        "--max-length",
        type=_positive,
        metavar="N",
        help="tokens kept of a row (default: the model's, or 2048)",
    )
    check_.add_argument(
        "--sample", type=_positive, default=0, metavar="N", help="write N rows for a person to read"
    )
    check_.add_argument(
        "--sample-out", type=Path, default=Path("sample.md"), metavar="F", help="where (default: sample.md)"
    )
    check_.set_defaults(run=_check)
    convert_ = verbs.add_parser("convert", help="write a file in another format", allow_abbrev=False)
    convert_.add_argument("source", type=Path, metavar="IN")
    convert_.add_argument(
        "target", type=Path, metavar="OUT", help=".jsonl, .json (one array), .csv, .tsv or .parquet"
    )
    convert_.add_argument("--to", required=True, choices=targets(), help="the format of OUT's rows")
    convert_.set_defaults(run=_convert)
    rules = verbs.add_parser("rules", help="every rule with its level and reason", allow_abbrev=False)
    rules.set_defaults(run=_rules)
    for verb in (check_, convert_):
        verb.add_argument(
            "--format",
            choices=(AUTO, *known_formats().formats),
            default="auto",
            help="format of the rows (default: auto)",
        )
        verb.add_argument("--force", action="store_true", help="write over a file that exists")
    for verb in (check_, convert_, rules):
        verb.add_argument("--json", action="store_true", help="print JSON for a machine")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value
