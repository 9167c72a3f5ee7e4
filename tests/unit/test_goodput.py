"""The arithmetic of tests/benchmarks/goodput.py."""

import json
import math
from collections import Counter
from typing import Any

import pytest

from tests.benchmarks.goodput import read_results, report
from tests.benchmarks.goodput_account import account, ceiling, effective
from tests.benchmarks.goodput_faults import MEAN_S, Kind, make_schedule


def line(what: str, time: float, process: str, step: int = 0, **more: Any) -> dict[str, Any]:
    return {"what": what, "time": time, "process": process, "rank": 0, "step": step, **more}


def steps(process: str, first: int, last: int, begin: float) -> list[dict[str, Any]]:
    """Steps first to last of one process, a second each, the first done at `begin`."""
    return [line("step", begin + step - first, process, step) for step in range(first, last + 1)]


# Ten steps from 100 s on, killed at 109.5 s; saved at step 5; new ranks take step 6 again at 115 s.
JOURNAL = [
    line("process", 90, "a"), line("imported", 95, "a"), line("loaded", 99, "a"), *steps("a", 1, 10, 100),
    line("process", 111.5, "b"), line("imported", 112.5, "b"), line("loaded", 114, "b"), *steps("b", 6, 15, 115),
]  # fmt: skip
KILL = {"time": 109.5, "at_s": 9.5, "kind": "kill", "rank": 1, "hit": True}


def test_an_outage_is_reported_by_phase():
    found = account(JOURNAL, [(105, 5)], [(111, 0.5)], [KILL], 20)
    (outage,) = found["outages"]
    assert [outage[phase] for phase in ("detect", "stop", "start", "import", "load", "first step")] == [
        1, 0.5, 0.5, 1, 1.5, 1,
    ]  # fmt: skip
    assert outage["total"] == outage["down"] == 5.5
    assert (found["restarts"], found["taken"] - found["new"]) == (1, 5)


def test_steps_after_a_request_to_shut_down_do_not_count_as_outage():
    asked = {**KILL, "time": 107.5, "kind": "term"}
    (outage,) = account(JOURNAL, [], [], [asked], 20)["outages"]
    assert (outage["total"], outage["down"]) == (7.5, 6)


def test_only_what_is_committed_in_time_counts():
    found = account(JOURNAL, [(105, 5), (119.5, 10), (121, 12)], [], [KILL], 20)
    assert found["committed"] == 10
    assert effective(found, 1.0) == 0.5
    assert found["last_step_s"] == 20


def test_an_outage_in_which_another_fault_hits_has_no_cost_of_its_own():
    second = {**KILL, "time": 112.0}
    outages = account(JOURNAL, [], [], [KILL, second], 20)["outages"]
    assert [one["total"] for one in outages] == [3]


def test_an_arm_that_never_comes_back_has_nothing_to_reach():
    found = account(JOURNAL[:13], [(105, 5)], [], [KILL], 20)
    assert found["outages"] == []
    assert ceiling(found, 1.0) == 0
    assert effective(found, 1.0) == 0.25


def test_the_ceiling_falls_with_the_cost_of_a_restart_and_a_save():
    cheap = {"seconds": 600, "hits": 10, "step_s": 0.1, "save_s": 0.01, "outages": [{"down": 1.0}]}
    dear = {**cheap, "save_s": 0.1}
    slow = {**cheap, "outages": [{"down": 10.0}]}
    assert ceiling(cheap, 0.1) > ceiling(dear, 0.1) > ceiling(slow, 0.1)
    assert ceiling(slow, 0.1) == pytest.approx(math.exp(-10 / 60), abs=0.03)
    assert ceiling({**cheap, "step_s": 0.2}, 0.1) == pytest.approx(ceiling(cheap, 0.1) / 2, abs=0.001)


@pytest.mark.parametrize("seed", range(3))
def test_a_schedule_is_the_same_each_time_and_mixes_all_kinds(seed: int):
    schedule = make_schedule(seed, 600)
    assert schedule == make_schedule(seed, 600)
    assert len(schedule) == 600 / MEAN_S
    counts = Counter(fault.kind for fault in schedule)
    assert set(counts) == set(Kind) and max(counts.values()) == 2
    assert [fault.at_s for fault in schedule] == sorted(fault.at_s for fault in schedule)


def test_pieces_of_a_measurement_make_one_report_unless_their_lengths_differ(tmp_path):
    found = account(JOURNAL, [(105, 5)], [(111, 0.5)], [KILL], 20)
    for arm in ("ours", "requeue"):
        (tmp_path / f"{arm}_0.json").write_text(json.dumps({"arm": arm, "seed": 0, **found}))
    assert [one["arm"] for one in read_results(tmp_path)] == ["ours", "requeue"]
    assert report(read_results(tmp_path)) == 1
    (tmp_path / "ours_1.json").write_text(json.dumps({"arm": "ours", "seed": 1, **found, "seconds": 60}))
    with pytest.raises(SystemExit, match="20 s, 60 s"):
        read_results(tmp_path)
