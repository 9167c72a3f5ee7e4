"""Several copies of a sharded state (FSDP2) and a second copy of the weights (ZeRO-3), on four ranks."""

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest

from launcher.checkpoint.pieces import read_index
from launcher.run import RunDir
from tests.matrix.cells import Cell, write_data
from tests.matrix.try_cell import plan_in
from tests.support import preloaded
from tests.support.runs import Finished, environment
from tests.training.resuming import METHODS, checkpoint, planned, samples

pytestmark = pytest.mark.train

FOUR = ("resources.gpus_per_node=4", "batch.micro_batch_size=1")
COPIES = ("strategy=fsdp2", "strategy.dp_replicate_size=2", *FOUR)
SECOND = ("strategy=zero3", "strategy.hpz_size=2", *FOUR)
SHARDED = ("strategy=fsdp2", "resources.gpus_per_node=2", "batch.micro_batch_size=2")
REPLICATED = (
    "strategy=ddp",
    "strategy.dp_replicate_size=1",
    "resources.gpus_per_node=2",
    "batch.micro_batch_size=2",
)
FULL = ("plugin=[sharded_checkpoint]",)


def resumed(run, folder, *overrides: str) -> None:
    """Plans the run again, after its ranks were killed."""
    attempts = len(run.events("stopped"))
    RunDir(run.path).add_end(attempts + 1, 137)  # as the supervisor does
    verb = ("resume", str(run.path), *overrides, "dry_run=true")
    done = preloaded.run(verb, folder, environment(), timeout_s=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_a_killed_run_continues_with_more_copies_and_then_with_whole_states(warm, straight, cache, tmp_path):
    often = ("plugins.sharded_checkpoint.save_steps=4",)
    whole = straight(*FULL, *SHARDED)
    run = planned(tmp_path, cache, *FULL, *SHARDED, *often)
    assert set(warm.run(run.path, kill_after_saves=2)["codes"]) == {-9}
    resumed(run, tmp_path, *COPIES)
    assert set(warm.run(run.path, kill_after_saves=2)["codes"]) == {-9}, run.logs()
    resumed(run, tmp_path, *REPLICATED)
    assert set(warm.run(run.path)["codes"]) == {0}, run.logs()
    first, second = (event["step"] for event in run.events("resumed"))
    assert 4 <= first < second < 20
    assert samples(run) == samples(whole)
    by_step = {line["step"]: line["loss"] for line in run.metrics() if "loss" in line}
    assert [by_step[step] for step in sorted(by_step)] == pytest.approx(whole.losses, abs=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("degrees", [COPIES, SECOND], ids=["copies", "second_copy"])
def test_a_killed_run_continues_bitwise_on_the_same_degrees(warm, straight, cache, tmp_path, degrees):
    whole = straight(*METHODS["full"], *degrees)
    run = planned(tmp_path, cache, *METHODS["full"], *degrees)
    assert set(warm.run(run.path, kill_after_saves=2)["codes"]) == {-9}
    assert set(warm.run(run.path)["codes"]) == {0}, run.logs()
    step = run.events("resumed")[0]["step"]
    assert step in (10, 20)
    assert run.losses[len(run.losses) - (20 - step) :] == whole.losses[step:]
    assert samples(run) == samples(whole)


def test_each_element_is_written_by_one_of_the_ranks_that_hold_it(straight):
    folder = checkpoint(straight(*METHODS["full"], *COPIES), 20)
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) == 4
    written: Counter[tuple[str, int]] = Counter()
    for found in itertools.chain.from_iterable(read_index(path) for path in files):
        piece = found.piece
        written.update((piece.name, at) for at in range(piece.start, piece.start + piece.numel))
    assert set(written.values()) == {1}
    sizes = [path.stat().st_size for path in files]
    assert max(sizes) < 1.1 * min(sizes)


@pytest.mark.long
@pytest.mark.parametrize("plugin", ["none", "lora"])
def test_a_loss_with_a_reference_is_the_same_with_copies(warm, cache, tmp_path, plugin: str):
    """Without an adapter the reference is a second model, which is sharded and copied like the first."""
    write_data(tmp_path)
    typed = Cell("dpo", plugin, False, "fsdp2", 4).overrides(tmp_path)
    losses: list[list[float]] = []
    for degrees in (FOUR, COPIES):
        code, said = plan_in(
            tmp_path, ["+experiment=tiny", "cluster=local", f"cache_dir={cache}", *typed, *degrees]
        )
        assert code == 0, said
        run = Finished(Path(json.loads(said)["run_dir"]))
        assert set(warm.run(run.path)["codes"]) == {0}, run.logs()
        losses.append(run.losses)
    assert len(losses[0]) == 4 and losses[1] == pytest.approx(losses[0], abs=1e-5)
