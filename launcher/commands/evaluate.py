"""python -m launcher evaluate [RUN] --data F: base against tuned, side by side."""

from pathlib import Path
from typing import Any

from launcher.commands.export import chosen_checkpoint
from launcher.commands.options import add_run, chosen_run, make_parser
from launcher.errors import DataError, Exit, UsageError, unknown
from launcher.launching.summary import as_json
from launcher.launching.worker import showing, worker

METRICS = ("loss", "exact_match")


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = make_parser(
        "evaluate",
        "Loss, perplexity and exact match on a data file: the base model against the trained one.",
        "python -m launcher evaluate llama8b_lora --data eval.jsonl --max-rows 200",
    )
    add_run(parser)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="F", help="any format that training reads"
    )
    parser.add_argument("--max-rows", type=int, metavar="N", help="the first N rows alone")
    parser.add_argument(
        "--metrics", default=",".join(METRICS), metavar="M,M", help=f"of {', '.join(METRICS)} (default: all)"
    )
    parser.add_argument(
        "--checkpoint", metavar="STEP", help="a step, or newest, in the place of the finished model"
    )
    options = parser.parse_args(arguments)
    metrics = [name for name in options.metrics.split(",") if name]
    for name in metrics:
        if name not in METRICS:
            raise UsageError(f"--metrics: {unknown('metric', name, METRICS)}")
    if not metrics:
        raise UsageError(f"--metrics is empty; give some of {', '.join(METRICS)}")
    if options.max_rows is not None and options.max_rows < 1:
        raise UsageError(f"--max-rows {options.max_rows} must be at least 1")
    if not options.data.is_file():
        raise DataError(
            f"--data {options.data} is not a file; give the path of a JSONL, JSON, CSV, TXT or Parquet file"
        )
    run = chosen_run(options)
    checkpoint = chosen_checkpoint(run, options.checkpoint)
    request = {
        "verb": "evaluate", "run_dir": str(run.path), "data": str(options.data.absolute()), "max_rows": options.max_rows,
        "metrics": metrics, "checkpoint": str(checkpoint) if checkpoint else None,
    }  # fmt: skip
    with worker(request) as work, showing() as show:
        result = {"run": run.name, **work.result(show)}
    print(as_json(result)) if options.json else _show(result)
    return Exit.OK


def _show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    left_out = f", {result['left_out']:,} left out: no trained token" if result["left_out"] else ""
    console.print(
        f"{result['run']} on {result['data']}: {result['rows']:,} rows, {result['tokens']:,} trained tokens{left_out}"
    )
    table = Table("", "base", "tuned", "change", box=None, pad_edge=False)
    for name, base in result["base"].items():
        tuned = result["tuned"][name]
        if base is None:
            table.add_row("exact match", "-", "-", "no row has a question and an answer")
        elif name == "exact_match":
            table.add_row("exact match", f"{base:.1%}", f"{tuned:.1%}", f"{100 * (tuned - base):+.1f} points")
        else:
            change = f"{tuned - base:+.4f}" if name == "loss" else f"{tuned / base - 1:+.1%}"
            table.add_row(name, f"{base:,.4f}", f"{tuned:,.4f}", change)
    console.print(table)
    if result["questions"]:
        console.print(f"exact match: greedy answers to the last turn of {result['questions']:,} chats")
