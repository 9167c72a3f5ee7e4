"""A killed run resumes with the same numbers, on the same ranks or on others."""

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from launcher.checkpoint.folders import committed
from launcher.errors import Exit
from launcher.run import RunDir
from tests.support import preloaded
from tests.support.runs import environment
from tests.training.resuming import METHODS, STRATEGIES, TWO, checkpoint, planned, samples, steps

pytestmark = pytest.mark.train


def _some(cases: Iterable[tuple[str, ...]], always: Sequence[tuple[str, ...]]) -> list[Any]:
    """All cases, those that are not in `always` with the mark long."""
    return [pytest.param(*case, marks=[] if case in always else [pytest.mark.long]) for case in cases]


ALWAYS = [("full", "zero3"), ("qlora", "fsdp2")]
"""Each method; the other pairs are saved by the same code."""


@pytest.mark.parametrize(("method", "strategy"), _some(itertools.product(METHODS, STRATEGIES), ALWAYS))
def test_a_killed_run_continues_bitwise(warm, straight, cache, tmp_path, method, strategy):
    overrides = (*METHODS[method], f"strategy={strategy}", *TWO)
    whole = straight(*overrides)
    assert len(whole.losses) == 20
    run = planned(tmp_path, cache, *overrides)
    assert warm.run(run.path, kill_after_saves=2)["codes"] == [-9, -9]
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    step = run.events("resumed")[0]["step"]
    assert step in (10, 20)
    assert run.losses[len(run.losses) - (20 - step) :] == whole.losses[step:]
    assert samples(run) == samples(whole)
    assert sorted(itertools.chain(*samples(whole))) == sorted(set(itertools.chain(*samples(whole))))


@pytest.mark.parametrize("strategy", _some([("ddp",), ("fsdp2",)], []))
def test_a_killed_run_with_mlps_in_tiles_continues_bitwise(warm, straight, cache, tmp_path, strategy):
    overrides = (
        "plugin=[sharded_checkpoint]", "plugins.sharded_checkpoint.save_steps=2", "trainer.max_steps=6",
        "trainer.mlp_tile_tokens=16", f"strategy={strategy}", *TWO,
    )  # fmt: skip
    whole = straight(*overrides)
    run = planned(tmp_path, cache, *overrides)
    # two steps after it was begun, the first save may not be committed yet
    assert warm.run(run.path, kill_after_saves=3)["codes"] == [-9, -9]
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    step = run.events("resumed")[0]["step"]
    assert step in (2, 4, 6)
    assert run.losses[len(run.losses) - (6 - step) :] == whole.losses[step:]
    assert samples(run) == samples(whole)


@pytest.mark.parametrize("optimizer", ["adamw_8bit", pytest.param("paged_lion_8bit", marks=pytest.mark.long)])
def test_a_killed_run_continues_bitwise_with_an_8_bit_optimizer(warm, straight, cache, tmp_path, optimizer):
    overrides = ("plugin=[sharded_checkpoint]", f"trainer.optim={optimizer}", "trainer.learning_rate=1e-3")
    whole = straight(*overrides)
    run = planned(tmp_path, cache, *overrides)
    assert warm.run(run.path, kill_after_saves=2)["codes"] == [-9]
    assert warm.run(run.path)["codes"] == [0], run.logs()
    step = run.events("resumed")[0]["step"]
    assert run.losses[len(run.losses) - (20 - step) :] == whole.losses[step:]
    lines = [[line for line in one.metrics() if "loss" in line][-1] for one in (run, whole)]
    assert (
        lines[0]["tokens"] == lines[1]["tokens"] and lines[0]["trained_tokens"] == lines[1]["trained_tokens"]
    )


SIZES = [
    *((f"{name}-2", f"{name}-1") for name in STRATEGIES),
    *((f"{name}-1", f"{name}-2") for name in STRATEGIES),
]
CROSSED = [("zero3-2", "fsdp2-2"), ("fsdp2-2", "zero3-2"), ("zero2-2", "ddp-1")]
ALWAYS_SIZED = [("full", "zero2-2", "ddp-1")]


@pytest.mark.parametrize(
    ("method", "before", "after"),
    _some(((method, *pair) for method in ("full", "lora") for pair in [*SIZES, *CROSSED]), ALWAYS_SIZED),
)
def test_another_world_size_or_strategy_gives_the_same_losses(
    warm, straight, cache, tmp_path, method, before, after
):
    plugins = METHODS["full"] if method == "full" else ("plugin=[lora,sharded_checkpoint]",)
    old = straight(*plugins, *_sized(before))
    start = f"resume={checkpoint(old, 10)}"
    run = planned(tmp_path, cache, *plugins, *_sized(after), start, "trust_checkpoint=true")
    done = warm.run(run.path)
    assert set(done["codes"]) == {0}, run.logs()
    assert run.losses == pytest.approx(old.losses[10:], abs=1e-5)
    assert samples(run, 10) == samples(old, 10)
    assert json.loads((checkpoint(run, 20) / "manifest.json").read_text())["samples"] == 80


def _sized(name: str) -> tuple[str, ...]:
    strategy, _, ranks = name.partition("-")
    return (
        f"strategy={strategy}",
        f"resources.gpus_per_node={ranks}",
        f"batch.micro_batch_size={2 // int(ranks)}",
    )


@pytest.mark.parametrize(
    ("before", "after"),
    _some([("zero2-2", "ddp-1"), ("fsdp2-1", "zero3-2"), ("ddp-2", "fsdp2-2")], [("fsdp2-1", "zero3-2")]),
)
def test_a_killed_run_continues_in_its_own_folder_on_other_ranks(
    warm, straight, cache, tmp_path, before, after
):
    plugins = ("plugin=[lora,sharded_checkpoint]",)
    whole = straight(*plugins, *_sized(before))
    run = planned(tmp_path, cache, *plugins, *_sized(before))
    warm.run(run.path, kill_after_saves=2)
    RunDir(run.path).add_end(1, 137)  # as the supervisor does
    verb = ("resume", str(run.path), *_sized(after), "dry_run=true")
    done = preloaded.run(verb, tmp_path, environment(), timeout_s=120)
    assert done.returncode == 0, done.stderr
    assert set(warm.run(run.path)["codes"]) == {0}, run.logs()
    step = run.events("resumed")[0]["step"]
    assert step in (10, 20)
    assert run.losses[len(run.losses) - (20 - step) :] == pytest.approx(whole.losses[step:], abs=1e-5)
    assert samples(run) == samples(whole)


def test_tokens_and_epochs_continue_after_a_resume(warm, straight, cache, tmp_path):
    overrides = (*METHODS["lora"], "strategy=ddp", *TWO)
    whole = straight(*overrides)
    run = planned(tmp_path, cache, *overrides)
    warm.run(run.path, kill_after_saves=2)
    warm.run(run.path)
    for key in ("tokens", "epoch", "samples", "learning_rate"):
        assert run.metrics()[-1][key] == whole.metrics()[-1][key]


def test_weights_alone_begin_at_step_0_and_lower_the_first_loss(warm, straight, cache, tmp_path):
    old = straight(*METHODS["lora"], "strategy=ddp", *TWO)
    run = planned(
        tmp_path, cache, *METHODS["lora"], "strategy=ddp", *TWO, f"resume={old.path}", "resume_weights_only=true",
        "trust_checkpoint=true",
    )  # fmt: skip
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    assert run.events("resumed")[0]["weights_only"] is True
    assert len(run.losses) == 20
    assert run.losses[0] < old.losses[0] - 0.05
    assert run.metrics()[0]["step"] == 1


@pytest.mark.parametrize("strategy", _some([("ddp",), ("zero2",), ("zero3",), ("fsdp2",)], [("fsdp2",)]))
def test_a_run_continues_from_weights_alone_only_if_asked_and_with_a_new_optimizer(
    warm, straight, cache, tmp_path, strategy
):
    plugins = ("plugin=[lora,sharded_checkpoint]", f"strategy={strategy}", *TWO)
    only = "plugins.sharded_checkpoint.weights_only=true"
    whole = straight(*plugins)
    run = planned(tmp_path, cache, *plugins, only, "plugins.sharded_checkpoint.save_steps=5")
    warm.run(run.path, kill_after_saves=2)
    (stripped, *_), full = committed(run.path / "checkpoints"), whole.events("saved")[0]
    assert stripped.manifest.weights_only and stripped.manifest.bytes < 0.7 * full["bytes"]
    assert 0 not in warm.run(run.path)["codes"]
    assert "has no optimizer state" in run.events("crashed")[0]["error"]
    RunDir(run.path).add_end(2, 1)
    verb = ("resume", str(run.path), "dry_run=true")
    for more, code in (((), 1), (("resume_weights_only=true",), 0)):
        done = preloaded.run((*verb, *more), tmp_path, environment(), timeout_s=60)
        assert done.returncode == code, done.stderr
    assert set(warm.run(run.path)["codes"]) == {0}, run.logs()
    resumed = run.events("resumed")[-1]
    assert (resumed["new_optimizer"], resumed["weights_only"]) == (True, False)
    later = run.losses[len(run.losses) - (20 - resumed["step"]) :]
    assert later[0] == pytest.approx(
        whole.losses[resumed["step"]], abs=1e-5
    )  # the same weights on the same rows
    assert later[2:] != pytest.approx(whole.losses[resumed["step"] + 2 :], abs=1e-7)
    assert run.metrics()[-1]["step"] == 20
    assert samples(run, resumed["step"]) == samples(whole, resumed["step"])


def test_an_adapter_of_another_rank_is_refused_with_both_shapes(warm, straight, cache, tmp_path):
    old = straight(*METHODS["lora"], "strategy=ddp", *TWO)
    run = planned(
        tmp_path, cache, *METHODS["lora"], "strategy=ddp", *TWO, f"resume={old.path}", "trust_checkpoint=true",
        "plugins.lora.r=4",
    )  # fmt: skip
    warm.run(run.path)
    said = run.events("crashed")[0]["error"]
    assert "has shape [16, 64] there and [4, 64] here" in said


def test_another_global_batch_is_refused_because_the_position_means_nothing(warm, straight, cache, tmp_path):
    old = straight(*METHODS["lora"], "strategy=ddp", *TWO)
    run = planned(
        tmp_path, cache, *METHODS["lora"], "strategy=ddp", *TWO, f"resume={old.path}", "trust_checkpoint=true",
        "batch.global_batch_size=8",
    )  # fmt: skip
    warm.run(run.path)
    assert "batch.global_batch_size is 8 here and 4 in" in run.events("crashed")[0]["error"]


def test_a_checkpoint_of_lora_holds_the_adapter_and_no_pickle(straight):
    run = straight(*METHODS["lora"], "strategy=ddp", *TWO)
    folder = checkpoint(run, 20)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert all("lora_" in name for name in manifest["parameters"])
    trained = sum(math.prod(shape) for shape in manifest["parameters"].values())
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert 12 * trained <= size < 12 * trained * 1.2
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}


def test_other_programs_read_the_files(straight):
    from safetensors import safe_open

    run = straight(*METHODS["lora"], "strategy=ddp", *TWO)
    with safe_open(checkpoint(run, 20) / "rank_00000.safetensors", framework="pt") as file:
        name = next(key for key in file.keys() if key.startswith("weight/"))  # noqa: SIM118
        assert file.get_tensor(name).numel() > 0


@pytest.mark.long
def test_an_automatic_interval_is_found_from_what_this_run_measures(warm, cache, tmp_path):
    run = planned(
        tmp_path, cache, *METHODS["lora"], "strategy=ddp", *TWO, "plugins.sharded_checkpoint.save_steps=auto",
        "cluster.failures_per_1000_node_days=8.64e8", "trainer.max_steps=60",
    )  # fmt: skip
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    found = run.events("interval")
    saved = [event["step"] for event in run.events("saved")]
    assert saved[0] == 6  # early, to measure what a save costs
    assert saved[1] == 6 + found[0]["steps"]
    first, *_, last = run.events("saved")
    assert found[0]["save_s"] == pytest.approx(first["blocked_s"], abs=0.1)  # and not what the plan assumed
    assert abs(last["bytes"] - first["bytes"]) < 1000  # what is saved does not grow with the steps behind it
    assert found[0]["interval_s"] == pytest.approx(
        found[0]["steps"] * found[0]["step_s"], abs=found[0]["step_s"]
    )
    assert saved[-1] == 60


def test_the_best_and_every_nth_checkpoint_stay(warm, cache, tmp_path):
    run = planned(
        tmp_path, cache, *METHODS["lora"], "strategy=ddp", *TWO, "plugins.sharded_checkpoint.save_steps=2",
        "plugins.sharded_checkpoint.keep_last=1", "plugins.sharded_checkpoint.keep_every=8",
        "plugins.sharded_checkpoint.keep_best=1", "trainer.eval_steps=2", "data=quickstart",
        "data.eval_path=${shipped:data/quickstart/eval.jsonl}",
    )  # fmt: skip
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    losses = {event["step"]: event["eval_loss"] for event in run.events("evaluated") if event["step"]}
    best = min(losses, key=lambda step: (losses[step], step))
    assert set(steps(run)) == {8, 16, 20, best}


@pytest.mark.long
def test_a_save_that_waits_for_the_disk_gives_the_same_losses(warm, straight, cache, tmp_path):
    overrides = (*METHODS["lora"], "strategy=zero2", *TWO)
    run = planned(tmp_path, cache, *overrides, "plugins.sharded_checkpoint.asynchronous=false")
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    assert run.losses == straight(*overrides).losses
    assert all(event["blocked_s"] <= event["total_s"] for event in run.events("saved"))


NAN = """
from launcher.plugins.base import Plugin

class Nan(Plugin):
    def on_trainer(self, trainer):
        step, compute = [], trainer.compute_loss
        def loss(model, inputs, *arguments, **options):
            found = compute(model, inputs, *arguments, **options)
            bad = trainer.order.batch_of(trainer.state.global_step) == 13
            scale = float("nan") if bad else 1.0
            return (found[0] * scale, *found[1:]) if isinstance(found, tuple) else found * scale
        trainer.compute_loss = loss
        return trainer
"""


def test_a_nan_loss_is_never_saved_and_its_batch_is_left_out(warm, straight, cache, tmp_path):
    (tmp_path / "nan.py").write_text(NAN)
    overrides = (*METHODS["lora"], "strategy=zero2", *TWO)
    whole = straight(*overrides)
    run = planned(tmp_path, cache, *overrides, "+plugins.nan._target_=nan.Nan")
    assert warm.run(run.path)["codes"][0] == 10, run.logs()
    assert "loss is nan" in run.events("crashed")[0]["error"]
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    assert run.events("resumed")[0]["step"] == 10
    assert all(math.isfinite(loss) for loss in run.losses)
    assert len(run.losses) == 13 + 10
    taken = samples(run)
    assert taken[:13] == samples(whole)[:13]
    assert taken[13:-1] == samples(whole)[14:]  # the batch after it is in its place
    assert samples(whole)[13] not in taken


def test_a_rank_refuses_other_rows_at_an_address_once_a_checkpoint_has_a_place_in_the_old_ones(
    warm, cache, tmp_path
):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"text": f"row {number} of the store"}) for number in range(120)))
    run = planned(
        tmp_path, cache, "plugin=[sharded_checkpoint]", "trainer=pretrain", f"data.path=local://{rows}", "data.eval_path=null"
    )  # fmt: skip
    assert warm.run(run.path, kill_after_saves=2)["codes"] == [-9], run.logs()
    rows.write_text(rows.read_text().replace("store", "stars"))
    assert warm.run(run.path)["codes"] == [Exit.REFUSED]
    assert f"local://{rows} has changed since the launch" in run.logs()
