"""A run and a sweep to report on: a real plan of a real launch, and what such a run would have written on GPUs."""

import json
import math
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from launcher.run import RunDir, read_lines

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
"""Markup that does something wherever it becomes markup."""
TOKEN = "hf_abcdefghijklmnopqrstuvwxyz0123"
SECRET = "correct-horse-battery"
"""What HF_TOKEN holds where the report is written."""
_FIRST = datetime(2026, 3, 1, 8, 0, 0, tzinfo=timezone.utc)


def at(seconds: float) -> str:
    return (_FIRST + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def fill_run(run: RunDir) -> None:
    """Three attempts, two faults, 25 steps repeated, evaluation loss that turns at step 120, and a text that bites."""
    events: list[dict[str, Any]] = [{"time": at(0), "event": "submitted", "attempt": 0, "job_id": "77"}]
    metrics: list[dict[str, Any]] = []
    dice = random.Random(1)
    reason = f"rank 3 on n2: RuntimeError: {HOSTILE} with token={TOKEN}, sent as {SECRET}"
    for attempt, (begin, first, last) in enumerate([(0, 0, 110), (330, 100, 215), (700, 200, 300)], start=1):
        events.append(
            {
                "time": at(begin),
                "event": "started",
                "attempt": attempt,
                "job_id": "77" if attempt < 3 else "78",
                "host": "n1",
            }
        )
        if first:
            events.append(
                {
                    "time": at(begin + 15),
                    "event": "resumed",
                    "attempt": attempt,
                    "step": first,
                    "checkpoint": "c",
                }
            )
        events.append(
            {
                "time": at(begin + 20),
                "event": "training",
                "attempt": attempt,
                "step": first,
                "total_steps": 300,
            }
        )
        events.append(
            {
                "time": at(begin + 22),
                "event": "stepping",
                "attempt": attempt,
                "step": first + 1,
                "restart_s": 22,
            }
        )
        for step in range(first + 1, last + 1):
            moment = at(begin + 20 + 2 * (step - first))
            metrics.append(
                {
                    "time": moment,
                    "step": step,
                    "total_steps": 300,
                    "loss": 1 + 2 * math.exp(-step / 60) + dice.gauss(0, 0.03),
                    "learning_rate": 2e-4 * (1 - step / 300),
                    "grad_norm": 0.5 + abs(dice.gauss(0, 0.2)),
                    "tokens": 16384 * step,
                    "tokens_per_s": 8000 + dice.gauss(0, 300),
                    "mfu": 0.41,
                    "hfu": 0.48,
                    "data_wait_s": 0.01,
                    HOSTILE: 0.5 * step,
                }
            )
            if step % 40 == 0:
                metrics.append({"time": moment, "step": step, "eval_loss": 1.2 + ((step - 120) / 200) ** 2})
            if step % 50 == 0:
                events.append(
                    {
                        "time": moment,
                        "event": "saved",
                        "attempt": attempt,
                        "step": step,
                        "bytes": 9_000_000,
                        "blocked_s": 0.2,
                    }
                )
        end = at(begin + 30 + 2 * (last - first))
        if attempt < 3:
            events.append(
                {
                    "time": end,
                    "event": "ended",
                    "attempt": attempt,
                    "how": "crashed",
                    "reason": reason,
                    "hosts": ["n2"],
                }
            )
        if attempt == 2:
            events.append({"time": end, "event": "requeued", "attempt": attempt, "reason": reason})
    events += [
        {
            "time": at(922),
            "event": "measured",
            "attempt": 3,
            "step": 300,
            "step_s": 2.02,
            "peak_gib": 22.6,
            "peak_gib_by_rank": [21.9, 22.6],
            "context_gib": 1.4,
            "host_gib_by_rank": [12.0, 11.0],
            "link_gb_s": 180.0,
        },
        {
            "time": at(925),
            "event": "sample",
            "attempt": 3,
            "when": "after",
            "prompt": "Who?",
            "answer": HOSTILE,
        },
        {"time": at(926), "event": "exported", "attempt": 3, "path": "/runs/model", "step": 300},
        {"time": at(930), "event": "finished", "attempt": 3},
    ]
    write_lines(run.events, [*read_lines(run.events), *events])
    write_lines(run.metrics, metrics)


def fill_sweep(folder: Path, trials: int = 24) -> None:
    """A finished search over three keys: two trials failed, some were pruned; a learning rate of 3e-4 is best."""
    dice = random.Random(2)
    keys = ["trainer.learning_rate", "plugins.lora.r", "trainer.lr_scheduler_type"]
    spec = {
        "objective": "eval_loss",
        "direction": "minimize",
        "sampler": "tpe",
        "pruner": "asha",
        "parameters": keys,
        "trials": trials,
    }
    (folder / "outcomes").mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps(spec))
    planned: list[dict[str, Any]] = []
    for number in range(trials):
        rate, rank = 10 ** dice.uniform(-5, -2), dice.choice([4, 8, 16, 32])
        values = dict(zip(keys, [f"{rate:.3g}", str(rank), dice.choice(["cosine", "linear"])], strict=True))
        planned.append({"number": number, "values": values})
        state = "failed" if number in (3, 7) else "pruned" if number % 5 == 4 else "finished"
        worst = (math.log10(rate) + 3.5) ** 2
        steps = [] if state == "failed" else range(20, 61 if state == "pruned" else 201, 20)
        reported = {str(step): 1 + worst + 2 * math.exp(-step / 60) for step in steps}
        outcome = {
            "state": state,
            "intermediate": reported,
            "value": reported["200"] if state == "finished" else None,
            "error": f"CUDA out of memory {HOSTILE}" if state == "failed" else None,
            "started": at(60 * number),
            "ended": at(60 * number + 50),
        }
        (folder / str(number)).mkdir()
        (folder / "outcomes" / f"{number}.json").write_text(json.dumps(outcome))
    write_lines(folder / "trials.jsonl", planned)
