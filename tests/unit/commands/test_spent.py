"""GPU-hours and money that a run has spent, beside what was planned."""

import json

import pytest

from launcher.run import RunDir, read_lines
from launcher.run.totals import held_s
from tests.support.events import history_of
from tests.support.reports import at, write_lines


def event(seconds: float, name: str) -> dict[str, str]:
    return {"time": at(seconds), "event": name, "how": "crashed", "job_id": "7"}


@pytest.mark.parametrize(
    ("events", "held"),
    [
        ([(0, "submitted"), (10, "started"), (110, "finished")], 100),
        (
            [(0, "started"), (50, "ended"), (60, "started"), (100, "finished")],
            100,
        ),  # a restart holds its nodes
        (
            [(0, "started"), (50, "ended"), (50, "requeued"), (900, "started"), (950, "finished")],
            100,
        ),  # the queue does not
        (
            [(0, "started"), (40, "saved"), (900, "started"), (960, "finished")],
            100,
        ),  # the first job died without an event
        ([(0, "started"), (100, "saved"), (500, "submitted")], 100),
        ([(0, "started"), (30, "stopped"), (90, "replanned"), (95, "submitted")], 30),
        ([(0, "started"), (30, "pruned"), (90, "logged")], 30),
        ([(0, "planned"), (5, "submitted")], 0),
    ],
)
def test_time_is_counted_while_nodes_are_held(events, held):
    assert held_s(history_of([event(*one) for one in events])) == held


def test_what_still_runs_is_counted_until_now_and_what_is_lost_until_its_last_metric():
    started, metrics = [event(0, "started")], [{"time": at(30), "step": 1}, {"time": at(55), "step": 2}]
    assert held_s(history_of(started), at(70)) == 70
    assert held_s(history_of(started, metrics)) == 55


def test_status_tells_gpu_hours_and_money_beside_the_plan(tmp_path, cli):
    typed = [
        "+experiment=llama8b_lora",
        "cluster=slurm",
        "resources.nodes=2",
        "resources.gpus_per_node=8",
        "dry_run=true",
    ]
    planned = json.loads(
        cli(
            *typed, "cluster.price_per_gpu_hour=2.5", "trainer.max_steps=5000", "--json", sbatch="exit 0"
        ).stdout
    )
    run = RunDir(tmp_path / planned["run_dir"])
    assert json.loads(cli("status", "--json").stdout)["spent"] is None
    ends = [(0, "started", 1), (1800, "ended", 1), (1800, "started", 2), (3600, "finished", 2)]
    more = [
        {**event(time, name), "attempt": attempt, "how": "crashed", "reason": "", "hosts": []}
        for time, name, attempt in ends
    ]
    write_lines(run.events, [*read_lines(run.events), *more])
    spent = json.loads(cli("status", "--json").stdout)["spent"]
    assert (spent["gpu_hours"], spent["money"]) == (16, 40)
    assert spent["planned_money"] == pytest.approx(2.5 * spent["planned_gpu_hours"], rel=1e-3)
    line = next(line for line in cli("status").stdout.splitlines() if line.startswith("spent"))
    assert line.split(maxsplit=1)[1].startswith("16 GPU-hours of ") and "; 40.00 of " in line
    assert "spent" not in json.loads(cli("list", "--json").stdout)[0]
