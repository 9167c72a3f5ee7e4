"""What ranks measure of themselves."""

import dataclasses
import json
from typing import Any

import pytest
import torch

from launcher.run import RunDir
from launcher.train.meter import Meter
from tests.support.runs import Finished

pytestmark = pytest.mark.train


def test_a_run_measures_its_step_and_every_ranks_memory_early_and_at_its_end(trained):
    run: Finished = trained("resources.gpus_per_node=2", "batch.micro_batch_size=1", "trainer.max_steps=12")
    early, last = run.events("measured")
    assert (early["step"], last["step"]) == (10, 12)
    assert last["step_s"] > 0
    assert len(last["host_gib_by_rank"]) == 2 and min(last["host_gib_by_rank"]) > 0.1
    assert last.get("peak_gib") is None  # no GPU
    assert 0 < early["link_gb_s"] < 1000


@pytest.mark.long
def test_one_rank_has_no_links_to_measure(trained):
    (last,) = trained().events("measured")
    assert last.get("link_gb_s") is None
    assert len(last["host_gib_by_rank"]) == 1


class Stream:
    """A stream of a pretended GPU: each step's work takes 0.25 s there and none on the host."""

    def __init__(self) -> None:
        self.moment, self.waited, self.peak = 0.0, 0, 9.0

    def event(self, enable_timing: bool) -> Any:
        assert enable_timing
        return Event(self)

    def reset(self) -> None:
        self.peak = 5.0


class Event:
    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def record(self) -> None:
        self.at = self.stream.moment

    def query(self) -> bool:
        return self.stream.moment > self.at

    def synchronize(self) -> None:
        self.stream.waited += 1

    def elapsed_time(self, other: "Event") -> float:
        return (other.at - self.at) * 1e3


def test_a_gpu_is_waited_for_only_when_it_is_asked_and_its_peak_is_without_the_loading(
    plan, tmp_path, monkeypatch
):
    stream = Stream()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "Event", stream.event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: pytest.fail("a step waited for the GPU"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: stream.peak * 2**30)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 6 * 2**30)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 2 * 2**30)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (7 * 2**30, 10 * 2**30))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", stream.reset)
    run = RunDir(tmp_path)
    meter = Meter(run, dataclasses.replace(plan("+experiment=tiny"), device="cuda"), 1, 0)
    args: Any = type("Args", (), {"device": "cpu"})
    state: Any = type("State", (), {"global_step": 0})
    meter.on_train_begin(args, state, None)
    for step in range(1, 13):
        state.global_step = step
        meter.on_step_begin(args, state, None)
        stream.moment += 0.25
        meter.on_step_end(args, state, None)
    meter.on_train_end(args, state, None)
    early, last = (json.loads(line) for line in run.events.read_text().splitlines())
    assert (early["steps"], last["steps"], last["step_s"], stream.waited) == (10, 12, 0.25, 2)
    assert (last["load_gib"], last["peak_gib"], last["reserved_gib"], last["context_gib"]) == (9, 5, 6, 1)
