"""python -m launcher status [RUN]: a run's state, its progress, and what went wrong."""

import argparse
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, TypedDict

from launcher.cli.parser import add_run, chosen_run
from launcher.cli.verb import Verb
from launcher.clusters.base import RunState
from launcher.errors import Exit
from launcher.output import align, fields, print_json, print_text
from launcher.run.history import HistoryReader
from launcher.status.generation import generation_line
from launcher.status.learning import learning_lines, sampled_line
from launcher.status.record import attempt_lines
from launcher.status.run_status import Status
from launcher.status.spent import Spent, read_spent, spent_line
from launcher.status.state import read_status
from launcher.status.waiting import Waiting, read_waiting


class _More(TypedDict):
    spent: Spent | None
    """What it has cost; null for a run on CPUs, and before its first start."""
    waiting: Waiting | None
    """What its job waits for in the queue; null for a run that does not wait."""


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    run = chosen_run(options)
    reader = HistoryReader(run, whole=False)
    status = read_status(run, reader=reader)
    spent = read_spent(run, running=status.state is RunState.RUNNING, reader=reader)
    waiting = read_waiting(run, status)
    if options.json:
        print_json({**fields(status), "spent": spent, "waiting": waiting})
        return Exit.OK
    lines = [("run", status.run), ("state", status.state.value)]
    if status.error:
        lines.append(("error", status.error))
    if status.note:
        lines.append(("note", status.note))
    if status.job_id:
        lines.append(("job", status.job_id))
    if status.insurance:
        lines.append(
            (
                "insurance",
                f"job {status.insurance} waits as insurance, in case that job {status.job_id} ends early",
            )
        )
    if waiting:
        lines.append(("waits", waiting.line(datetime.now(timezone.utc))))
    lines.append(("attempts", str(status.attempts)))
    lines += attempt_lines(status.history)
    if status.effective_training_time is not None:
        planned = f" (planned {status.planned_training_time:.1%})" if status.planned_training_time else ""
        lines.append(
            ("training", f"{status.effective_training_time:.1%} of the time since the first start{planned}")
        )
    if status.sampled is not None:
        lines.append(("metrics.jsonl", sampled_line(**status.sampled)))
    if status.step is not None:
        lines.append(("step", f"{status.step} of {status.total_steps}"))
    if status.next_save is not None:
        seconds = status.next_save["in_s"]
        when = "" if seconds is None else f", in about {seconds:.0f} s"
        lines.append(("next save", f"at step {status.next_save['step']}{when}"))
    if status.loss is not None:
        lines.append(("loss", f"{status.loss:.4f}"))
    if status.eval_loss is not None:
        perplexity = "" if status.perplexity is None else f", perplexity {status.perplexity:.4g}"
        lines.append(("eval loss", f"{status.eval_loss:.4f}{perplexity}"))
    lines += speed_line(status.figures)
    if status.generation is not None:
        lines.append(("generation", generation_line(status.generation)))
    lines += learning_lines(status.early_stopped, status.general, status.warnings)
    lines += compare(status)
    if spent is not None:
        lines.append(("spent", spent_line(spent)))
    if run.export.is_dir():
        lines.append(("model", str(run.export)))
    print_text(align([*lines, ("run dir", status.run_dir)]))
    return Exit.OK


def speed_line(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Tokens so far, and tokens per second at the newest logged step."""
    if not figures.get("tokens_per_s"):
        return []
    text = f"{figures['tokens_per_s']:,.0f} tokens/s, {figures.get('tokens') or 0:,} tokens so far"
    if figures.get("mfu") is not None:
        text += f", MFU {figures['mfu']:.1%}, HFU {figures['hfu']:.1%}"
    return [("speed", text)]


def compare(status: Status) -> list[tuple[str, str]]:
    """The planned and the measured values, as far as they are known."""
    measured, planned = status.measured, status.planned
    if measured is None:
        return []
    step = "" if planned["step_s"] is None else f"planned {planned['step_s']:.3g} s, "
    lines = [("step time", f"{step}measured {measured['step_s']:.3g} s")]
    host = max(measured["host_gib_by_rank"])
    if measured["peak_gib"] is None:
        return [*lines, ("memory", f"measured {host:.1f} GiB of host memory by the largest rank")]
    tensors = measured["peak_gib"] + measured["context_gib"]
    memory = "" if planned["memory_gib"] is None else f"planned {planned['memory_gib']:.1f} GiB per GPU, "
    return [
        *lines,
        (
            "memory",
            f"{memory}measured {tensors:.1f} GiB at most, {host:.1f} GiB of host memory by the largest rank",
        ),
    ]


VERB = Verb(
    line="show a run's state: step, loss, cost, and what went wrong",
    example="status quickstart --json",
    add=_add,
    run=_run,
    prints=(_More, Status),
    group="runs",
)
