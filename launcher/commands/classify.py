"""python -m launcher classify [RUN]: the classes that the trained model gives to texts."""

import argparse
import sys
from pathlib import Path

from launcher.after.classify import SortedRows, Wanted, sorting
from launcher.cli.parser import add_checkpoint, add_run, add_trust
from launcher.cli.verb import Verb
from launcher.data.convert import check_free
from launcher.errors import Exit, UsageError
from launcher.output import as_json, print_json, print_text, say
from launcher.protocol.work.scores import SortedRow, SortingDone


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_trust(parser)
    parser.add_argument(
        "--text", metavar="TEXT", action="append", help="a text to sort; it can be given several times"
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="F",
        help="a file of texts or chats, in any format that training reads; labels are ignored",
    )
    parser.add_argument("--out", type=Path, metavar="F", help="write a JSON object per row to this file")
    parser.add_argument("--force", action="store_true", help="overwrite the file of --out")
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="if a row can have several classes: the least probability with which it gets a class (default: 0.5)",
    )
    add_checkpoint(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    if options.out:
        check_free(options.out, options.force)
    wanted = Wanted(
        data=options.data, checkpoint=options.checkpoint, threshold=options.threshold, trust_run=options.trust_run
    )  # fmt: skip
    texts = _texts(options)
    kept: list[SortedRow] = []
    done = cut = 0
    with sorting(options.runs_dir.absolute(), options.run, wanted, texts) as replies:
        file = options.out.open("w", encoding="utf-8") if options.out else None
        try:
            for reply in replies:
                if isinstance(reply, SortingDone):
                    cut = reply.cut
                    continue
                for row in reply.rows:
                    if file:
                        file.write(as_json(row) + "\n")
                    elif not options.json:
                        print_text(_line(row, texts))
                kept += reply.rows if options.json else ()
                done += len(reply.rows)
        finally:
            if file:
                file.close()
    if options.json:
        result: SortedRows = {"rows": kept, "cut": cut}
        print_json(result)
    elif options.out:
        say(f"{done:,} rows are sorted in {options.out}")
    if cut:
        say(f"{cut:,} rows are longer than model.max_length, and only their beginning was read")
    return Exit.OK


def _texts(options: argparse.Namespace) -> list[str]:
    """The texts of --text, or the lines of stdin; none with --data."""
    if options.data and options.text:
        raise UsageError("--data and --text name two inputs; give one of them")
    if options.data:
        return []
    if options.text is None and sys.stdin.isatty():
        raise UsageError(
            'there is nothing to sort: give --text "...", --data FILE, or lines of text on stdin'
        )
    found: list[str] = options.text if options.text is not None else sys.stdin.read().splitlines()
    texts = [text.strip() for text in found if text.strip()]
    if not texts:
        raise UsageError(
            'there is nothing to sort: give --text "...", --data FILE, or lines of text on stdin'
        )
    return texts


def _line(row: SortedRow, texts: list[str]) -> str:
    """Class and probability of a row, then its text, or its line in the file."""
    chances = row.probabilities
    said = ", ".join(f"{label} {chances[label]:.1%}" for label in row.labels)
    said = (
        said
        or f"none (likeliest: {max(chances, key=lambda name: chances[name])} {max(chances.values()):.1%})"
    )
    return f"{said}\t{texts[row.line - 1] if texts else 'line ' + str(row.line)}"


VERB = Verb(
    line="sort texts into the classes of a trained classifier",
    about="It prints the class of each text and its probability. `evaluate` compares the classes with those of a file.",
    example='classify tickets --text "Where is my parcel?"\nclassify tickets --data new.jsonl --out sorted.jsonl',
    add=_add,
    run=_run,
    prints=SortedRows,
    group="model",
)
