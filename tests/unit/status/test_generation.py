"""What status says of a generation server, and when ranks and server wait too long for each other."""

from typing import Any

import pytest

from launcher.run.events.supervisor import ServerLost, ServerReady
from launcher.run.history import History
from launcher.run.metrics import Logged
from launcher.status.generation import GenerationServerRow, generation_line, generation_of, starving

PLAN = {"generation": {"command": ["serve"]}}
READY = ServerReady(
    attempt=1, time="2026-01-01T00:00:00+00:00", host="n3", url="http://10.0.0.3:1", seconds=2.0
)
LOST = ServerLost(attempt=1, time="2026-01-01T00:01:00+00:00", host="n3", reason="killed", next="n4")


def told(plan: Any, history: History) -> GenerationServerRow:
    found = generation_of(plan, history)
    assert found is not None
    return found


def lines(*shares: float) -> list[Logged]:
    return [
        Logged(step=step, loss=1.0, more={"generation_wait_share": share})
        for step, share in enumerate(shares)
    ]


def test_a_run_without_a_server_has_no_line():
    assert generation_of({}, History.of([], [])) is None
    assert generation_of({"generation": {"command": []}}, History.of([], [])) is None


def test_the_newest_server_and_its_losses_are_told():
    found = told(PLAN, History.of([READY, LOST], lines(0.5, 0.25, 0.3)))
    assert found == {"host": "n3", "url": "http://10.0.0.3:1", "answers": False, "lost": 1, "wait_share": 0.3}
    assert (
        generation_line(found)
        == "n3 (http://10.0.0.3:1), does not answer, lost 1 time; the ranks wait for it 30% of the time"
    )
    assert told(PLAN, History.of([READY, LOST, READY], []))["answers"]
    assert "not answered yet" in generation_line(told(PLAN, History.of([], [])))


@pytest.mark.parametrize(("share", "said"), [(0.9, "ranks wait 90%"), (0.05, "in use 5%"), (0.4, None)])
def test_a_warning_says_who_waits_for_whom(share, said):
    history = History.of([READY], lines(*[share] * 5))
    warning = starving(generation_of(PLAN, history), history)
    assert (warning is None) if said is None else (said in (warning or ""))
    few = History.of([READY], lines(*[share] * 4))
    assert starving(generation_of(PLAN, few), few) is None
