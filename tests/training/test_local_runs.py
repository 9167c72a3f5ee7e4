"""The local path, end to end, with real ranks."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from launcher.commands.report import read_facts
from launcher.report.run_page import make_run_page
from launcher.run import RunDir
from tests.support import preloaded
from tests.support.runs import Finished, command, environment, launch

pytestmark = pytest.mark.train

TWO = ("resources.gpus_per_node=2", "batch.micro_batch_size=1")

AS_ZERO3 = [pytest.param(name, marks=pytest.mark.long) for name in ("zero1", "zero2")]
"""Trained by the same engine."""


def adapter(run: Finished) -> dict:
    return load_file(run.path / "model" / "adapter_model.safetensors")


def test_a_run_ends_with_a_falling_loss_and_an_adapter_that_was_trained(trained):
    run = trained()
    assert len(run.losses) == 8
    assert run.losses[-1] < run.losses[0] - 0.1
    assert [event["when"] for event in run.events("evaluated")] == ["before", "after"]
    assert any(tensor.abs().sum() > 0 for name, tensor in adapter(run).items() if "lora_B" in name)


@pytest.mark.long
def test_a_run_says_that_it_evaluates_when_it_does_and_not_while_it_answers(tmp_path, cache):
    run = launch(tmp_path, cache, "trainer.sample_prompt=Why?", "trainer.max_steps=4", "trainer.eval_steps=2")
    kinds = ("training", "working", "sample", "evaluated", "exported")
    told = [event.get("on", event["event"]) for event in run.events() if event["event"] in kinds]
    assert told == [
        "load", "training", "answer", "sample", "evaluate", "evaluated", "evaluate", "evaluated", "evaluate", "evaluated",
        "answer", "sample", "evaluate", "evaluated", "export", "exported",
    ]  # fmt: skip


def test_the_report_of_a_run_draws_what_it_logged_and_says_how_its_export_was_checked(trained):
    page = make_run_page(read_facts(RunDir(trained().path)))
    charts = {chart.id: chart for chart in page.charts}
    assert {"loss", "learning-rate", "gradient-norm", "throughput", "memory", "timeline", "lengths-0"} <= set(
        charts
    )
    assert charts["loss"].summary.startswith(f"Training loss went from {trained().losses[0]:.4f} to ")
    assert charts["timeline"].summary.startswith("1 attempt in ")
    (result,) = [section for section in page.sections if section.id == "result"]
    assert dict(result.facts)["checked"].startswith(
        "loaded from disk: its logits differ from the trained model's by at most "
    )
    assert "Other events" not in [section.title for section in page.sections]


def test_the_exported_adapter_loads_with_peft_and_is_the_planned_size(trained):
    from peft import AutoPeftModelForCausalLM

    run = trained()
    model = AutoPeftModelForCausalLM.from_pretrained(run.path / "model")
    count = sum(parameter.numel() for name, parameter in model.named_parameters() if "lora_" in name)
    assert count == json.loads((run.path / "plan.json").read_text())["model"]["trainable_parameters"]


@pytest.mark.parametrize(
    "strategy", ["ddp", *AS_ZERO3, "zero3", pytest.param("fsdp2", marks=pytest.mark.long)]
)
def test_two_ranks_give_the_losses_of_one(trained, strategy):
    one, two = trained(), trained(f"strategy={strategy}", *TWO)
    assert two.losses[0] == pytest.approx(one.losses[0], abs=1e-5)
    assert two.losses == pytest.approx(one.losses, abs=1e-3)
    assert adapter(two).keys() == adapter(one).keys()


@pytest.mark.parametrize(
    "strategy", [*(pytest.param(name, marks=pytest.mark.long) for name in ("ddp", "fsdp2")), "zero3"]
)
def test_a_full_fine_tune_exports_a_model_that_loads(trained, strategy):
    from transformers import AutoModelForCausalLM

    run = trained(f"strategy={strategy}", "plugin=[gradient_checkpointing]", *TWO)
    model = AutoModelForCausalLM.from_pretrained(run.path / "model")
    assert sum(parameter.numel() for parameter in model.parameters()) == 188_992
    assert run.losses[-1] < run.losses[0]


def test_qlora_trains_over_four_bit_weights(trained):
    run = trained("plugin=[qlora,gradient_checkpointing]")
    assert run.losses[-1] < run.losses[0]
    assert len(adapter(run)) == 56  # 4 blocks, 7 linear layers, A and B


@pytest.mark.long
def test_accelerate_launch_gives_the_same_losses_from_accelerate_yaml(trained):
    ours = trained("strategy=zero2", *TWO)
    theirs = trained("strategy=zero2", "cluster.rank_starter=accelerate", *TWO)
    assert theirs.losses == pytest.approx(ours.losses, abs=1e-5)


def test_wandb_without_a_key_writes_into_the_run_dir_and_waits_for_nobody(tmp_path, cache):
    run = launch(tmp_path, cache, "tracker=wandb", "trainer.max_steps=2", "data.eval_path=null")
    assert list(run.path.glob("wandb/offline-run-*/*.wandb"))
    assert run.events("finished")


@pytest.mark.long
def test_tensorboard_writes_into_the_run_dir(tmp_path, cache):
    run = launch(tmp_path, cache, "tracker=tensorboard", "trainer.max_steps=2", "data.eval_path=null")
    assert list(run.path.glob("tensorboard/**/events.out.tfevents.*"))


@pytest.mark.long
def test_packing_trains_on_fewer_longer_sequences(trained):
    run = trained("trainer.packing=true", "model.max_length=1024", "trainer.max_steps=4")
    assert run.losses[-1] < run.losses[0]


@pytest.mark.long
def test_a_killed_run_continues_from_the_newest_committed_checkpoint(trained, tmp_path, cache):
    straight = trained("trainer.max_steps=24", "plugins.sharded_checkpoint.save_steps=4")
    arguments = command(
        "+experiment=tiny", "cluster=local", f"cache_dir={cache}", "trainer.max_steps=24",
        "plugins.sharded_checkpoint.save_steps=4",
    )  # fmt: skip
    process = subprocess.Popen(
        arguments, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, start_new_session=True
    )
    run = _wait_for_step(tmp_path, 9)
    supervisor = int(json.loads((run.path / "job.json").read_text())["job_id"])
    os.killpg(process.pid, signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    _wait_until_gone(run)
    torn = run.path / "checkpoints" / "step_00000999"
    torn.mkdir()
    (torn / "trainer_state.json").write_text("{}")

    done = subprocess.run(
        ["bash", str(run.path / "job.sbatch")], cwd="/", env=environment(), capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr + run.logs()
    resumed = run.events("resumed")[-1]["checkpoint"]
    step = int(resumed.rpartition("_")[2])
    assert step in (8, 12, 16, 20)
    assert run.losses[-(24 - step) :] == straight.losses[step:]


def test_a_rank_that_finds_another_world_size_stops_with_both_values(trained):
    run = trained(*TWO, "strategy=ddp")
    arguments = [*command()[:2], "launcher.train", str(run.path)]
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True)
    assert done.returncode == 4
    assert "world_size is 1" in done.stderr and "2 in the plan" in done.stderr


def test_a_plan_that_changed_in_the_queue_is_refused_with_the_difference(tmp_path, cache):
    run = _dry_run(tmp_path, cache)
    plan = json.loads((run.path / "plan.json").read_text())
    plan["batch"]["micro_batch_size"] = 7
    (run.path / "plan.json").write_text(json.dumps(plan))
    done = subprocess.run(
        ["bash", str(run.path / "job.sbatch")], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 4
    assert "batch.micro_batch_size was planned as 7 but is 2 now" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_deepspeed_file_edited_by_hand_cannot_disagree_with_the_plan(tmp_path, cache):
    run = _dry_run(tmp_path, cache, "strategy=zero2", *TWO)
    settings = json.loads((run.path / "deepspeed.json").read_text())
    settings["zero_optimization"]["stage"] = 1
    (run.path / "deepspeed.json").write_text(json.dumps(settings))
    done = subprocess.run(
        ["bash", str(run.path / "job.sbatch")], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 4
    assert "strategy.zero_stage is 1 on this rank and 2 in the plan" in run.logs()


@pytest.mark.long
def test_node_sh_runs_by_hand(tmp_path, cache):
    run = _dry_run(tmp_path, cache, "trainer.max_steps=2")
    done = subprocess.run(
        ["bash", str(run.path / "node.sh")], cwd="/", env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr + run.logs()
    assert len(run.losses) == 2


def test_ctrl_c_ends_every_rank(tmp_path, cache):
    arguments = command(
        "+experiment=tiny", "cluster=local", f"cache_dir={cache}", "trainer.max_steps=100000", *TWO
    )
    process = subprocess.Popen(
        arguments, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, start_new_session=True
    )
    run = _wait_for_step(tmp_path, 2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    _wait_until_gone(run)
    assert run.events()[-1]["event"] == "stopped"


def test_a_rank_that_crashes_every_time_is_named_and_the_run_stops_after_three(tmp_path, cache):
    broken = tmp_path / "broken_plugin.py"
    broken.write_text(
        "import os\n"
        "from launcher.plugins.base import Plugin\n"
        "class Broken(Plugin):\n"
        "    def on_trainer(self, trainer):\n"
        "        if os.environ['RANK'] == '1':\n"
        "            raise RuntimeError('the disk of this rank is on fire')\n"
        "        return trainer\n"
    )
    run = launch(tmp_path, cache, "+plugins.broken._target_=broken_plugin.Broken", *TWO, code=9)
    status = preloaded.run(("status", "--json"), tmp_path, environment())
    shown = json.loads(status.stdout)
    assert shown["state"] == "failed"
    assert shown["error"].startswith("rank 1 on ")
    assert "the disk of this rank is on fire" in shown["error"]
    assert shown["attempts"] == 3
    _wait_until_gone(run)


def _dry_run(folder: Path, cache: Path, *overrides: str) -> Finished:
    arguments = command(
        "+experiment=tiny", "cluster=local", f"cache_dir={cache}", "dry_run=true", "--json", *overrides
    )
    done = subprocess.run(
        arguments, cwd=folder, env=environment(), capture_output=True, text=True, check=True
    )
    return Finished(Path(json.loads(done.stdout)["run_dir"]))


def _wait_for_step(folder: Path, step: int) -> Finished:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for metrics in folder.glob("runs/*/*/metrics.jsonl"):
            if any(f'"step": {step},' in line for line in metrics.read_text().splitlines()):
                return Finished(metrics.parent)
        time.sleep(0.02)
    raise AssertionError(
        "the run did not get there in time: "
        + "\n".join(Finished(p.parent).logs() for p in folder.glob("runs/*/*/plan.json"))
    )


def _wait_until_gone(run: Finished) -> None:
    """No process of the run is left."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        left = subprocess.run(
            ["pgrep", "-f", f"launcher.train {run.path}"], capture_output=True, text=True
        ).stdout
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(f"left behind: {left}")
