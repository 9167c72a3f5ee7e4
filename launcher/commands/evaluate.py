"""python -m launcher evaluate [RUN]: compares the base and the tuned model on a data file (--data) or on tasks (--tasks), or
says how right a classifier is."""

import argparse
from pathlib import Path

from launcher.after.evaluate import METRICS, evaluate
from launcher.after.tasks import TaskScores, TaskSettings, check_installed, evaluate_tasks, parse_tasks
from launcher.cli.parser import add_checkpoint, add_run, add_trust, trusted_run
from launcher.cli.verb import Verb
from launcher.data.contamination import told
from launcher.errors import Exit, UsageError
from launcher.output import columns, print_json, print_text, warn
from launcher.protocol.work.scores import BaseComparison, ClassifierScores

_MOST_CLASSES, _MOST_PAIRS = 30, 8


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_trust(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, metavar="F", help="any format that training reads")
    what.add_argument(
        "--tasks",
        metavar="T,T",
        help="tasks of lm-evaluation-harness: names, or paths of YAML files; it needs lm-eval",
    )
    parser.add_argument(
        "--max-rows", type=int, metavar="N", help="only the first N rows, or documents of each task"
    )
    parser.add_argument(
        "--few-shot",
        type=int,
        metavar="N",
        help="solved examples before each document (default: as the task says)",
    )
    parser.add_argument(
        "--chat", action="store_true", help="render the prompts of tasks with the chat template"
    )
    parser.add_argument("--no-base", action="store_true", help="do not evaluate the base model on the tasks")
    parser.add_argument(
        "--metrics",
        metavar="M,M",
        help=f"any of {', '.join(METRICS)} (default: all); a classifier has metrics of its own",
    )
    add_checkpoint(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    if options.tasks is not None:
        return _run_tasks(options)
    if options.few_shot is not None or options.chat or options.no_base:
        raise UsageError("--few-shot, --chat and --no-base are for --tasks; leave them out with --data")
    result = evaluate(
        trusted_run(options), options.data, metrics=options.metrics, max_rows=options.max_rows, checkpoint=options.checkpoint
    )  # fmt: skip
    if options.json:
        print_json(result)
    elif isinstance(result, ClassifierScores):
        _show_classes(result)
    else:
        _show(result)
    return Exit.OK


def _run_tasks(options: argparse.Namespace) -> int:
    """The exit code."""
    if options.metrics is not None:
        raise UsageError(
            f"--metrics {options.metrics}: a task has metrics of its own; leave it out with --tasks"
        )
    for name, value, least in (("--max-rows", options.max_rows, 1), ("--few-shot", options.few_shot, 0)):
        if value is not None and value < least:
            raise UsageError(f"{name} {value} must be at least {least}")
    check_installed()
    settings = TaskSettings(
        tasks=parse_tasks(options.tasks), checkpoint=options.checkpoint, base=not options.no_base, chat=options.chat,
        few_shot=options.few_shot, max_rows=options.max_rows,
    )  # fmt: skip
    result = evaluate_tasks(trusted_run(options), settings)
    print_json(result) if options.json else _show_tasks(result)
    return Exit.OK


def _show_tasks(result: TaskScores) -> None:
    print_text(
        f"{result['run']}, {result['checkpoint'] or 'the finished model'}, by lm-eval {result['lm_eval']}"
    )
    rows = [
        (one.task, one.metric, one.filter, _with_error(one.base, one.base_stderr),
         _with_error(one.tuned, one.tuned_stderr),
         "-" if one.base is None else f"{one.tuned - one.base:+.4f}")
        for one in result["scores"]
    ]  # fmt: skip
    print_text(columns(("task", "metric", "filter", "base", "tuned", "change"), rows))
    if result["not_compared"]:
        print_text(f"the tasks were not compared with the training data: {result['not_compared']}")
    for one in result["tasks"]:
        if one.in_training:
            warn(told(one.task, one.in_training, one.rows))


def _with_error(value: float | None, error: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"


def _show(result: BaseComparison) -> None:
    left_out = f", {result.left_out:,} left out: no trained token" if result.left_out else ""
    print_text(
        f"{result.run} on {result.data}: {result.rows:,} rows, {result.tokens:,} trained tokens{left_out}"
    )
    rows: list[tuple[str, str, str, str]] = []
    for name, base in result.base.items():
        tuned = result.tuned[name]
        if base is None or tuned is None:
            rows.append(("exact match", "-", "-", "no row has a question and an answer"))
        elif name == "exact_match":
            rows.append(("exact match", f"{base:.1%}", f"{tuned:.1%}", f"{100 * (tuned - base):+.1f} points"))
        else:
            change = f"{tuned - base:+.4f}" if name == "loss" else f"{tuned / base - 1:+.1%}"
            rows.append((name, f"{base:,.4f}", f"{tuned:,.4f}", change))
    print_text(columns(("", "base", "tuned", "change"), rows))
    if result.questions:
        print_text(f"exact match: greedy answers to the last turn of {result.questions:,} chats")


def _show_classes(result: ClassifierScores) -> None:
    cut = f", {result.cut:,} cut at model.max_length" if result.cut else ""
    print_text(f"{result.run} on {result.data}: {result.rows:,} rows{cut}")
    rows: list[tuple[str, str, str, str]] = []
    for name, constant in result.constant.items():
        tuned, share = result.tuned[name], name != "loss"
        rows.append(
            (name.replace("_", " "), _figure(constant, share), _figure(tuned, share),
             f"{100 * (tuned - constant):+.1f} points" if share else f"{tuned - constant:+.4f}")
        )  # fmt: skip
    label = result.constant_label
    print_text(columns(("", f"always {label}" if label else "always the same", "trained", "change"), rows))
    shown = sorted(result.classes, key=lambda one: -one.rows)[:_MOST_CLASSES]
    print_text()
    print_text(
        columns(
            ("class", "rows", "answered", "right", "precision", "recall", "F1"),
            [
                (one.label, f"{one.rows:,}", f"{one.answered:,}", f"{one.right:,}",
                 *("-" if value is None else f"{value:.1%}" for value in (one.precision, one.recall, one.f1)))
                for one in shown
            ],
        )
    )  # fmt: skip
    if more := len(result.classes) - len(shown):
        print_text(f"and {more:,} more classes, which --json lists")
    wrong = sorted((one for one in result.confusion if one.label != one.answered), key=lambda one: -one.rows)
    if wrong:
        listed = ", ".join(f"{one.label} as {one.answered} ({one.rows:,})" for one in wrong[:_MOST_PAIRS])
        print_text(f"\nmost frequent errors: {listed}")


def _figure(value: float, share: bool) -> str:
    return f"{value:.1%}" if share else f"{value:,.4f}"


VERB = Verb(
    line="compare the trained model with the base one on a data file, or a classifier with a constant answer",
    example="evaluate llama8b_lora --data eval.jsonl --max-rows 200\n"
    "evaluate llama8b_lora --tasks hellaswag,my_task.yaml --max-rows 200",
    add=_add,
    run=_run,
    prints={"": BaseComparison, "of a classifier": ClassifierScores, "with --tasks": TaskScores},
    group="model",
)
