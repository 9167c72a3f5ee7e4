"""python -m launcher evaluate [RUN] --data F: compares the base and the tuned model side by side, or says how right a
classifier is."""

import argparse
from pathlib import Path

from launcher.after.classify import ClassifierScores
from launcher.after.evaluate import METRICS, BaseComparison, evaluate
from launcher.cli.parser import add_checkpoint, add_run, add_trust, trusted_run
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import columns, print_json, print_text

_MOST_CLASSES, _MOST_PAIRS = 30, 8


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_trust(parser)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="F", help="any format that training reads"
    )
    parser.add_argument("--max-rows", type=int, metavar="N", help="only the first N rows")
    parser.add_argument(
        "--metrics",
        metavar="M,M",
        help=f"any of {', '.join(METRICS)} (default: all); a classifier has metrics of its own",
    )
    add_checkpoint(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    result = evaluate(
        trusted_run(options), options.data, metrics=options.metrics, max_rows=options.max_rows, checkpoint=options.checkpoint
    )  # fmt: skip
    if options.json:
        print_json(result)
    elif "constant" in result:
        _show_classes(result)
    else:
        _show(result)
    return Exit.OK


def _show(result: BaseComparison) -> None:
    left_out = f", {result['left_out']:,} left out: no trained token" if result["left_out"] else ""
    print_text(
        f"{result['run']} on {result['data']}: {result['rows']:,} rows, {result['tokens']:,} trained tokens{left_out}"
    )
    rows: list[tuple[str, str, str, str]] = []
    for name, base in result["base"].items():
        tuned = result["tuned"][name]
        if base is None or tuned is None:
            rows.append(("exact match", "-", "-", "no row has a question and an answer"))
        elif name == "exact_match":
            rows.append(("exact match", f"{base:.1%}", f"{tuned:.1%}", f"{100 * (tuned - base):+.1f} points"))
        else:
            change = f"{tuned - base:+.4f}" if name == "loss" else f"{tuned / base - 1:+.1%}"
            rows.append((name, f"{base:,.4f}", f"{tuned:,.4f}", change))
    print_text(columns(("", "base", "tuned", "change"), rows))
    if result["questions"]:
        print_text(f"exact match: greedy answers to the last turn of {result['questions']:,} chats")


def _show_classes(result: ClassifierScores) -> None:
    cut = f", {result['cut']:,} cut at model.max_length" if result["cut"] else ""
    print_text(f"{result['run']} on {result['data']}: {result['rows']:,} rows{cut}")
    rows: list[tuple[str, str, str, str]] = []
    for name, constant in result["constant"].items():
        tuned, share = result["tuned"][name], name != "loss"
        rows.append(
            (name.replace("_", " "), _figure(constant, share), _figure(tuned, share),
             f"{100 * (tuned - constant):+.1f} points" if share else f"{tuned - constant:+.4f}")
        )  # fmt: skip
    label = result["constant_label"]
    print_text(columns(("", f"always {label}" if label else "always the same", "trained", "change"), rows))
    shown = sorted(result["classes"], key=lambda one: -one["rows"])[:_MOST_CLASSES]
    print_text()
    print_text(
        columns(
            ("class", "rows", "answered", "right", "precision", "recall", "F1"),
            [
                (one["label"], f"{one['rows']:,}", f"{one['answered']:,}", f"{one['right']:,}",
                 *("-" if value is None else f"{value:.1%}" for value in (one["precision"], one["recall"], one["f1"])))
                for one in shown
            ],
        )
    )  # fmt: skip
    if more := len(result["classes"]) - len(shown):
        print_text(f"and {more:,} more classes, which --json lists")
    wrong = sorted(
        (one for one in result["confusion"] if one["label"] != one["answered"]), key=lambda one: -one["rows"]
    )
    if wrong:
        listed = ", ".join(
            f"{one['label']} as {one['answered']} ({one['rows']:,})" for one in wrong[:_MOST_PAIRS]
        )
        print_text(f"\nmost frequent errors: {listed}")


def _figure(value: float, share: bool) -> str:
    return f"{value:.1%}" if share else f"{value:,.4f}"


VERB = Verb(
    line="compare the trained model with the base one on a data file, or a classifier with a constant answer",
    example="evaluate llama8b_lora --data eval.jsonl --max-rows 200",
    add=_add,
    run=_run,
    prints={"": BaseComparison, "of a classifier": ClassifierScores},
    group="model",
)
