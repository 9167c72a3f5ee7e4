"""python -m launcher evaluate [RUN] --data F: compares the base and the tuned model side by side."""

import argparse
from pathlib import Path

from launcher.after.evaluate import METRICS, BaseComparison, evaluate
from launcher.cli.parser import add_run, add_trust, trusted_run
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import columns, print_json, print_text


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_trust(parser)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="F", help="any format that training reads"
    )
    parser.add_argument("--max-rows", type=int, metavar="N", help="only the first N rows")
    parser.add_argument(
        "--metrics",
        default=",".join(METRICS),
        metavar="M,M",
        help=f"any of {', '.join(METRICS)} (default: all)",
    )
    parser.add_argument(
        "--checkpoint", metavar="STEP", help="a step, or newest, instead of the finished model"
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    result = evaluate(
        trusted_run(options), options.data, metrics=options.metrics, max_rows=options.max_rows, checkpoint=options.checkpoint
    )  # fmt: skip
    print_json(result) if options.json else _show(result)
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


VERB = Verb(
    line="compare the base model with the trained one on a data file: loss, perplexity, exact match",
    example="evaluate llama8b_lora --data eval.jsonl --max-rows 200",
    add=_add,
    run=_run,
    prints=BaseComparison,
    group="model",
)
