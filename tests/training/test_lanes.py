"""Trials on one base model learn what lone runs learn: in turns to the last bit, mixed to 1e-5; one ends without the others."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.checkpoint.manifest import rank_file
from launcher.run.lanes import PRUNE, TRAIN
from tests.support.lanes import train_together
from tests.support.runs import Finished
from tests.support.tiny_model import write_tiny
from tests.support.warm import Warm
from tests.training.resuming import checkpoint, planned, samples

pytestmark = pytest.mark.train

TRIALS = (
    ("plugins.lora.r=8", "trainer.learning_rate=1e-3"),
    ("plugins.lora.r=16", "trainer.learning_rate=3e-4", "seed=1", "trainer.lr_scheduler_type=linear", "trainer.warmup_steps=5"),
    ("plugins.lora.r=4", "trainer.learning_rate=3e-3", "seed=2", "trainer.weight_decay=0.1", "trainer.max_grad_norm=0.3"),
    ("plugins.lora.r=32", "plugins.lora.use_rslora=true", "trainer.max_steps=10", "plugins.lora.target_modules=[q_proj]"),
)  # fmt: skip
EVALUATES = "data.eval_path=${shipped:data/quickstart/eval.jsonl}"
CLOSE = 1e-5
Make = Callable[..., Finished]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("base"), seed=0)


@pytest.fixture
def start(warm: Warm) -> Callable[[Path], list[int]]:
    """Starts the rank of a group, and returns its exit code."""
    return lambda path: warm.run(path)["codes"]


@pytest.fixture
def make(base: Path, cache: Path, tmp_path: Path) -> Make:
    """A planned run of one trial over the base model."""
    count = iter(range(100))

    def make(*overrides: str) -> Finished:
        named = (f"model.name_or_path={base}", "model.init=pretrained", "model.max_length=128")
        return planned(tmp_path / str(next(count)), cache, *named, *overrides)

    return make


@pytest.fixture(scope="session")
def alone(warm, base, cache, tmp_path_factory) -> Make:
    """The lone run of a trial, trained once."""
    known: dict[tuple[str, ...], Finished] = {}

    def alone(*overrides: str) -> Finished:
        if overrides not in known:
            named = (f"model.name_or_path={base}", "model.init=pretrained", "model.max_length=128")
            known[overrides] = planned(tmp_path_factory.mktemp("alone"), cache, *named, *overrides)
            assert warm.run(known[overrides].path)["codes"] == [0], known[overrides].logs()
        return known[overrides]

    return alone


def named(trial: tuple[str, ...], how: tuple[str, ...]) -> tuple[str, ...]:
    """The trial's overrides, for the adapter that `how` trains."""
    return tuple(
        one.replace("plugins.lora.", "plugins.qlora.") if "qlora" in str(how) else one for one in trial
    )


def apart(one: Finished, other: Finished) -> float:
    """The largest difference of two runs' losses."""
    assert len(one.losses) == len(other.losses) > 0
    return max(abs(a - b) for a, b in zip(one.losses, other.losses, strict=True))


def weights(run: Finished) -> bytes:
    return (run.path / "model" / "adapter_model.safetensors").read_bytes()


def figures(run: Finished) -> list[dict[str, object]]:
    """What metrics.jsonl holds besides time and speed."""
    left_out = (
        "time",
        "tokens_per_s",
        "tokens_per_s_per_gpu",
        "peak_memory_gib",
        "data_wait_s",
        "mfu",
        "hfu",
    )
    return [{key: value for key, value in line.items() if key not in left_out} for line in run.metrics()]


@pytest.mark.parametrize(
    "how",
    [
        pytest.param((), id="fp32"),
        pytest.param(
            (
                "plugin=[qlora,gradient_checkpointing,sharded_checkpoint]", "trainer.packing=true", "trainer.precision=bf16",
            ),
            id="bf16-nf4-packed-checkpointed", marks=pytest.mark.long,
        ),
    ],
)  # fmt: skip
def test_in_turns_each_of_four_trials_is_its_lone_run_to_the_last_bit(start, alone, make, how):
    trials = [(*named(trial, how), *how, EVALUATES, "trainer.eval_steps=5") for trial in TRIALS]
    runs = [make(*trial) for trial in trials]
    codes, ends = train_together(start, group := make(*named(TRIALS[0], how), *how), runs)
    assert codes == [0], group.logs()
    assert [ends[number].how for number in range(4)] == ["finished"] * 4, group.logs()
    for run, trial in zip(runs, trials, strict=True):
        lone = alone(*trial)
        assert figures(run) == figures(lone)
        assert weights(run) == weights(lone)
        assert samples(run) == samples(lone)
        assert run.events("exported")[0]["verified"] == "logits"
        for step in (10, 20)[: 1 + (len(run.losses) == 20)]:
            files = [checkpoint(one, step) / rank_file(0) for one in (run, lone)]
            assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    "how",
    [
        pytest.param((), id="fp32"),
        pytest.param(("plugin=[qlora,sharded_checkpoint]",), id="nf4", marks=pytest.mark.long),
        pytest.param(
            ("plugin=[lora,gradient_checkpointing,sharded_checkpoint]", "trainer.packing=true", "batch.micro_batch_size=1"),
            id="packed-checkpointed", marks=pytest.mark.long,
        ),
    ],
)  # fmt: skip
def test_mixed_the_losses_are_those_of_lone_runs(start, alone, make, how):
    trials = [named(trial, how) for trial in TRIALS]
    runs = [make(*trial, *how) for trial in trials]
    codes, ends = train_together(start, group := make(*trials[0], *how), runs, mixed=True)
    assert codes == [0] and {end.how for end in ends.values()} == {"finished"}, group.logs()
    assert "takes turns" not in group.logs()
    for run, trial in zip(runs, trials, strict=True):
        assert apart(run, alone(*trial, *how)) <= CLOSE


@pytest.mark.long
@pytest.mark.parametrize("mixed", [pytest.param(False, id="turns"), pytest.param(True, id="mixed")])
def test_a_trial_whose_loss_is_nan_ends_alone_and_a_pruned_one_too(start, make, mixed):
    rest = (TRIALS[1], TRIALS[2])
    undisturbed = [make(*trial) for trial in rest]
    train_together(start, make(*TRIALS[0]), undisturbed, mixed=mixed)
    runs = [make(*trial) for trial in rest]
    broken = make("trainer.learning_rate=1e30", "trainer.max_grad_norm=0")
    pruned = make(*TRIALS[0], "trainer.max_steps=1000")

    def order(number: int) -> str:
        return PRUNE if number == 3 and len(losses(pruned)) >= 5 else TRAIN

    codes, ends = train_together(
        start, group := make(*TRIALS[0]), [*runs, broken, pruned], mixed=mixed, order=order
    )
    assert codes == [0], group.logs()
    assert [ends[number].how for number in range(4)] == ["finished", "finished", "crashed", "cut"]
    assert ends[2].exit_code == 10 and broken.events("diverged")
    assert not broken.events("exported") and not pruned.events("exported")
    assert 5 <= len(losses(pruned)) < 1000
    if mixed:
        assert max(apart(run, same) for run, same in zip(runs, undisturbed, strict=True)) <= CLOSE
    else:
        assert [run.losses for run in runs] == [same.losses for same in undisturbed]
        assert [weights(run) for run in runs] == [weights(same) for same in undisturbed]


def test_a_killed_group_resumes_and_lone_runs_and_groups_go_on_from_each_others_checkpoints(
    warm, alone, make
):
    """A run of a killed group resumes in the group, one alone; and a killed lone run goes on in the group."""
    trials = TRIALS[:3]
    runs = [make(*trial) for trial in trials]
    assert warm.run(runs[2].path, kill_after_saves=2)["codes"] == [-9]
    group = make(*TRIALS[0])
    kill = group.path / "kill"

    def start(path: Path) -> list[int]:
        return warm.run(path, kill_at_file=str(kill))["codes"]

    codes, ends = train_together(
        start, group, runs[:2], tick=lambda: kill.touch() if all(map(saved, runs[:2])) else None
    )
    kill.unlink()
    assert codes == [-9] and not ends
    assert warm.run(runs[1].path)["codes"] == [0], runs[1].logs()
    codes, ends = train_together(start, group, [runs[0], runs[2]])
    assert codes == [0] and {end.how for end in ends.values()} == {"finished"}, group.logs()
    for run, trial in zip(runs, trials, strict=True):
        (resumed,) = run.events("resumed")
        assert resumed["step"] in (10, 20)
        assert (
            run.losses[len(run.losses) - (20 - resumed["step"]) :] == alone(*trial).losses[resumed["step"] :]
        )
        assert weights(run) == weights(alone(*trial))


def saved(run: Finished) -> bool:
    return checkpoint(run, 10).is_dir()


def losses(run: Finished) -> list[float]:
    path = run.path / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line["loss"] for line in lines if math.isfinite(line.get("loss", math.nan))]
