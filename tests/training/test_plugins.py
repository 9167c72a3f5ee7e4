"""What each plugin does to a real run of two ranks, and to its export."""

import itertools
import json
import math
from pathlib import Path

import pytest

from launcher.resources import resource_dir
from launcher.run import RunDir
from launcher.run.evaluations import Settled, evaluation_folder, write_settled
from tests.support import preloaded
from tests.support.paths import ROOT
from tests.support.runs import Finished, environment
from tests.training.resuming import TWO, planned

pytestmark = pytest.mark.train

EVALUATES = f"data.eval_path={resource_dir('conf') / 'data' / 'quickstart' / 'eval.jsonl'}"
ADAPTERS = {
    "dora": ("plugins.lora.use_dora=true",),
    "whole_modules": ("plugins.lora.modules_to_save=[embed_tokens,lm_head]",),
    "embedding": ("plugins.lora.modules_to_save=[embed_tokens]",),
    "pissa": ("plugins.lora.init_lora_weights=pissa",),
    "rslora": ("plugins.lora.use_rslora=true", "plugins.lora.init_lora_weights=orthogonal"),
    "qdora": ("plugin=[qlora,sharded_checkpoint]", "plugins.qlora.use_dora=true"),
    "q_embedding": ("plugin=[qlora,sharded_checkpoint]", "plugins.qlora.modules_to_save=[embed_tokens]"),
    "fp4": (
        "plugin=[qlora,sharded_checkpoint]",
        "plugins.qlora.quant_type=fp4",
        "plugins.qlora.double_quant=false",
    ),
    "computes_in_bf16": ("plugin=[qlora,sharded_checkpoint]", "plugins.qlora.compute_dtype=bfloat16"),
    "stored_in_bytes": ("plugin=[qlora,sharded_checkpoint]", "plugins.qlora.storage_dtype=uint8"),
}
ALWAYS = [("dora", "ddp")]
REFUSED = [
    ("whole_modules", "fsdp2"),
    ("qdora", "zero3"),
    ("stored_in_bytes", "zero3"),
    ("stored_in_bytes", "fsdp2"),
]
LONG = [
    pair
    for pair in itertools.product(ADAPTERS, ("ddp", "zero2", "zero3", "fsdp2"))
    if pair not in ALWAYS + REFUSED
]
GUARD = (
    "plugin=[lora,sharded_checkpoint,forgetting_guard]", "plugins.forgetting_guard.every_steps=10", *TWO,
)  # fmt: skip
EARLY = (
    "plugin=[lora,sharded_checkpoint,early_stopping]", EVALUATES,
    "trainer.eval_steps=2", "plugins.early_stopping.patience=2", "plugins.early_stopping.threshold=0.5", *TWO,
)  # fmt: skip


def status(run: Finished) -> dict:
    done = preloaded.run(("status", str(run.path), "--json"), Path.cwd(), environment(), timeout_s=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("adapter", "strategy"), [*ALWAYS, *(pytest.param(*pair, marks=pytest.mark.long) for pair in LONG)]
)
def test_a_killed_run_with_any_kind_of_adapter_continues_bitwise_and_exports(
    warm,
    straight,
    cache,
    tmp_path,
    adapter,
    strategy,
):
    overrides = (*ADAPTERS[adapter], f"strategy={strategy}", *TWO)
    whole = straight(*overrides)
    assert all(math.isfinite(loss) for loss in whole.losses)
    assert whole.losses[-1] < whole.losses[0]
    run = planned(tmp_path, cache, *overrides)
    assert warm.run(run.path, kill_after_saves=2)["codes"] == [-9, -9]
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    step = run.events("resumed")[0]["step"]
    assert run.losses[len(run.losses) - (20 - step) :] == whole.losses[step:]
    assert (run.path / "model" / "adapter_model.safetensors").is_file()


def test_an_adapter_that_took_a_part_of_the_base_is_exported_for_the_untouched_base(warm, straight):
    run = straight(*ADAPTERS["pissa"])
    config = json.loads((run.path / "model" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (32, 64, True)


@pytest.mark.parametrize(
    "strategy",
    ["ddp", *(pytest.param(name, marks=pytest.mark.long) for name in ("zero2", "zero3", "fsdp2"))],
)
def test_the_guard_measures_alike_under_every_strategy_and_changes_no_loss(straight, strategy):
    guarded = straight(*GUARD, f"strategy={strategy}")
    alone = straight("plugin=[lora,sharded_checkpoint]", *TWO)
    seen = [(event["when"], event["step"]) for event in guarded.events("general")]
    assert seen == [("before", 0), ("during", 10), ("after", 20)]
    assert guarded.losses == pytest.approx(alone.losses, abs=1e-4)
    measured = [event["perplexity"] for event in guarded.events("general")]
    told = status(guarded)["general"]
    assert told["before"] == pytest.approx(309.1739, rel=1e-3)
    assert told["increase"] == pytest.approx(measured[2] / measured[0], rel=1e-3)


def test_a_run_that_forgets_more_than_allowed_stops_with_its_own_exit_code(warm, cache, tmp_path):
    limit = "plugins.forgetting_guard.max_increase=1.05"
    run = planned(
        tmp_path, cache, *GUARD, limit, "trainer.learning_rate=0.1", "plugins.forgetting_guard.every_steps=2"
    )
    assert set(warm.run(run.path)["codes"]) == {11}, run.logs()
    assert "more than plugins.forgetting_guard.max_increase=1.05" in run.events("crashed")[0]["error"]
    assert not (run.path / "model").exists()


def test_an_evaluation_that_gets_no_better_ends_the_run_with_its_best_weights(warm, straight):
    run = straight(*EARLY)
    evaluated = {event["step"]: event["eval_loss"] for event in run.events("evaluated") if event["step"]}
    stopped, restored = run.events("early_stopped")[0], run.events("restored")[0]
    assert stopped["step"] < 20
    assert (stopped["best_step"], stopped["patience"]) == (2, 2)
    best = min(evaluated, key=evaluated.__getitem__)
    assert restored["step"] == best
    assert run.events("evaluated")[-1]["eval_loss"] == pytest.approx(evaluated[best], abs=1e-6)
    assert run.events("evaluated")[-1]["when"] == "after"
    assert status(run)["early_stopped"]["step"] == stopped["step"]


@pytest.mark.long
def test_a_run_that_was_stopped_early_and_starts_again_takes_no_further_step(warm, cache, tmp_path):
    run = planned(tmp_path, cache, *EARLY)
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    taken = len(run.losses)
    (run.path / "model" / "adapter_model.safetensors").unlink()
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    assert len(run.losses) == taken
    assert (run.path / "model" / "adapter_model.safetensors").is_file()


def test_neftunes_noise_is_in_training_and_in_no_evaluation(straight):
    noisy = straight(
        "plugin=[lora,sharded_checkpoint,neftune]", EVALUATES, "plugins.neftune.noise_alpha=15.0"
    )
    quiet = straight("plugin=[lora,sharded_checkpoint]", EVALUATES)
    assert noisy.events("evaluated")[0]["eval_loss"] == quiet.events("evaluated")[0]["eval_loss"]
    assert noisy.losses[0] != quiet.losses[0]
    assert noisy.losses[-1] < noisy.losses[0]


def test_a_plugin_of_your_own_package_works_as_the_documentation_shows(cache, tmp_path):
    page = (ROOT / "docs" / "guide" / "plugins.md").read_text()
    for name in ("my_package/norms.py", "site/plugin/adapter_norm.yaml"):
        block = page.split(f"`{name}`:\n\n")[1].split("```")[1].partition("\n")[2]
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(block)
    typed = (
        page.split("`site/plugin/adapter_norm.yaml`:")[1].split("    python -m launcher ")[1].splitlines()[0]
    )
    arguments = [one.strip("'") for one in typed.split()]
    done = preloaded.run(
        (*arguments, "cluster=local", f"cache_dir={cache}", "--json"), tmp_path, environment(), timeout_s=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = Finished(Path(json.loads(done.stdout.splitlines()[0])["run_dir"]))
    norms = [line["adapter_norm"] for line in run.metrics() if "adapter_norm" in line]
    assert len(norms) == 4
    assert norms == sorted(norms)


def test_a_run_ends_when_a_figure_of_tasks_no_longer_improves(warm, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "support" / "stand_ins"))
    run = planned(
        tmp_path, cache, "plugin=[lora,sharded_checkpoint,early_stopping]", "plugins.sharded_checkpoint.save_steps=2",
        "eval_job={every: 2, tasks: [colours]}", "plugins.early_stopping.metric=tasks/colours/acc",
        "plugins.early_stopping.restore_best=false", "plugins.early_stopping.patience=2", *TWO,
    )  # fmt: skip
    figures = {2: 0.5, 4: 0.7, 6: None, 8: 0.7, 10: 0.6, 14: 0.9}  # that of step 12 has not ended
    for step, value in figures.items():
        evaluation_folder(RunDir(run.path), step).path.mkdir(parents=True)
        scores, higher = ({"colours/acc": value}, {"colours/acc": True}) if value else ({}, {})
        settled = Settled(
            saved="", scores=scores, higher_is_better=higher, failed=None if value else "it failed"
        )
        write_settled(RunDir(run.path), step, settled)
    evaluation_folder(RunDir(run.path), 12).path.mkdir()
    assert warm.run(run.path, kill_after_saves=2)["codes"] == [-9, -9]
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    assert run.events("resumed")[0]["step"] in (2, 4)
    (stopped,) = run.events("early_stopped")
    assert (stopped["step"], stopped["best"], stopped["best_step"]) == (10, 0.7, 4)
    assert stopped["metric"] == "tasks/colours/acc"
    assert [line["step"] for line in run.metrics() if line.get("loss") is not None][-1] == 10
