"""Which trials may share a base model, how many, and what the sweep's dry run says about it."""

import dataclasses
import json
import re

import pytest

from launcher.config import Pass, SweepConfig
from launcher.errors import ConfigError
from launcher.plan.queue import with_notice_of_group
from launcher.plugins.base import make_plugins
from launcher.plugins.decide import decide
from launcher.sweep.together.grouping import differing, fit_of
from launcher.sweep.together.plan_groups import member, plan_groups
from launcher.sweep.together.plan_one import plan_together, together_lines
from launcher.sweep.together.size import choose_size
from tests.support import preloaded
from tests.support.runs import environment

ONE = ("resources.nodes=1", "resources.gpus_per_node=1", "strategy=ddp")
BASE = ("+experiment=llama8b_lora", "cluster=slurm", *ONE, "batch.micro_batch_size=1")


@pytest.fixture
def fit(compose, facts):
    def fit(*overrides):
        config = compose(*BASE, *overrides)
        return fit_of(config, decide(config, facts(config)), make_plugins(config.plugins))

    return fit


@pytest.fixture
def members(compose, facts):
    def members(*trials):
        configs = [compose(*BASE, *trial) for trial in trials]
        return [member(number, one, decide(one, facts(one))) for number, one in enumerate(configs)]

    return members


@pytest.mark.parametrize(
    "override",
    [
        "trainer.learning_rate=1e-5", "trainer.lr_scheduler_type=linear", "trainer.warmup_steps=3", "trainer.weight_decay=0.1",
        "trainer.max_grad_norm=0.5", "trainer.max_steps=7", "trainer.num_train_epochs=5", "seed=9", "plugins.lora.r=4",
        "plugins.lora.alpha=7", "plugins.lora.use_rslora=true", "plugins.lora.target_modules=[q_proj]",
        "plugins.lora.init_lora_weights=gaussian",
    ],
)  # fmt: skip
def test_what_belongs_to_a_trial_may_differ(fit, override):
    assert fit().key is not None
    assert fit(override).key == fit().key


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("model.max_length=512", "model.max_length"),
        ("batch.global_batch_size=8", "batch.global_batch_size"),
        ("trainer.packing=false", "trainer.packing"),
        ("trainer.optim=adamw_8bit", "trainer.optim"),
        ("data.path=/data/other.jsonl", "data.path"),
    ],
)
def test_what_belongs_to_the_base_model_must_be_equal_and_is_named(fit, override, key):
    one, other = fit(), fit(override)
    assert other.key != one.key
    assert key in differing([one, other])


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["plugins.lora.dropout=0.1"], "plugins.lora.dropout=0.1: "),
        (["plugins.lora.use_dora=true"], "plugins.lora.use_dora=True: "),
        (["plugins.lora.modules_to_save=[lm_head]"], "plugins.lora.modules_to_save="),
        (["plugins.lora.init_lora_weights=pissa"], "plugins.lora.init_lora_weights=pissa: "),
        (["plugin=[lora,neftune,sharded_checkpoint]"], "plugins.neftune: "),
        (["plugin=[gradient_checkpointing,sharded_checkpoint]"], "without an adapter"),
        (["resources.gpus_per_node=2"], "2 ranks: .* resources.gpus_per_node=1"),
        (["strategy=zero2"], "strategy=zero2: .* strategy=ddp"),
        (["trainer=dpo", "data.path=/pairs.jsonl"], "trainer.kind=dpo: "),
        (["tracker=wandb"], "tracker.kind=wandb: "),
        (["+trainer.args.eval_delay=5"], "trainer.args with eval_delay: "),
        (["plugins.sharded_checkpoint.requeue=false"], "queued again"),
    ],
)
def test_a_trial_that_cannot_share_its_base_runs_alone_for_a_reason(fit, overrides, reason):
    found = fit(*overrides)
    assert found.key is None
    assert found.why_alone is not None
    assert re.search(reason, found.why_alone)


def test_a_random_base_model_is_drawn_from_the_seed_so_seeds_must_be_equal(compose, facts):
    configs = [compose("+experiment=tiny", *ONE, f"seed={seed}") for seed in (0, 1)]
    found = [fit_of(one, decide(one, facts(one)), make_plugins(one.plugins)) for one in configs]
    assert differing(found) == {"seed": ["0", "1"]}


def test_auto_takes_as_many_trials_as_fit_a_gpu_and_a_number_that_does_not_fit_is_refused(compose, facts):
    config = compose(*BASE, "cluster.gpu_memory_gib=40")
    plan = decide(config, facts(config))
    size = choose_size(SweepConfig(together="auto"), config, plan)
    assert size.trials > 1 and size.gib is not None and size.gib <= 0.9 * 40
    assert plan.memory is not None and size.one_gib == pytest.approx(plan.memory.total, abs=0.1)
    with pytest.raises(
        ConfigError,
        match=r"sweep\.together=500 needs .* of cluster\.gpu_memory_gib=40; use sweep\.together=",
    ):
        choose_size(SweepConfig(together=500), config, plan)


def test_rows_are_mixed_only_where_one_trials_batch_is_small(compose, facts):
    for length, mixed in ((256, True), (4096, False)):
        config = compose(*BASE, "cluster.gpu_memory_gib=80", f"model.max_length={length}")
        assert choose_size(SweepConfig(together=2), config, decide(config, facts(config))).mixed is mixed
    turns = SweepConfig(together=2, together_pass=Pass.turns)
    config = compose(*BASE, "cluster.gpu_memory_gib=80", "model.max_length=256")
    assert not choose_size(turns, config, decide(config, facts(config))).mixed


def test_a_mixed_pass_needs_the_activations_of_all_trials(compose, facts):
    config = compose(*BASE, "cluster.gpu_memory_gib=80")
    plan = decide(config, facts(config))
    turns, mixed = (
        choose_size(SweepConfig(together=4, together_pass=one), config, plan)
        for one in (Pass.turns, Pass.mixed)
    )
    assert (turns.one_gib or 0) < (turns.gib or 0) < (mixed.gib or 0)


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_an_invalid_number_of_trials_is_refused(compose, facts, value):
    config = compose(*BASE)
    with pytest.raises(
        ConfigError, match=rf"sweep\.together={value} must be a number of at least 1, or auto"
    ):
        choose_size(SweepConfig(together=value), config, decide(config, facts(config)))


def test_a_grid_queues_one_task_for_each_group_and_one_for_each_lone_trial(members):
    found = members(
        *([f"seed={seed}"] for seed in range(5)), ["plugins.lora.dropout=0.1"], ["model.max_length=512"]
    )
    groups = plan_groups(SweepConfig(together=2), found, sampled=False)
    assert groups.tasks(range(7)) == [0, 2, 4, 5, 6]
    assert groups.key_of(5) is None and groups.key_of(0) == groups.key_of(4) != groups.key_of(6)


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("plugins.lora.dropout=0.1", "with every value of the search: plugins.lora.dropout"),
        ("model.max_length=512", "over model.max_length="),
    ],
)
def test_a_sampler_that_could_choose_trials_of_two_kinds_is_refused(members, override, why):
    with pytest.raises(ConfigError, match=why):
        plan_groups(SweepConfig(together=2), members([], [override]), sampled=True)


def test_the_dry_run_says_who_trains_together_and_who_alone(tmp_path):
    typed = (
        "-m", "+experiment=tiny", "cluster=local", "resources.device=cpu", "data.check=off", "dry_run=true",
        "trainer.learning_rate=1e-3,1e-2", "plugins.lora.r=4,8", "plugins.lora.dropout=0,0.1", "sweep.together=4",
    )  # fmt: skip
    done = preloaded.run(typed, tmp_path, environment(), timeout_s=100)
    assert "together  4 trials per rank, 1 group; in turns: " in done.stdout, done.stderr
    assert "alone     4 trials: plugins.lora.dropout=0.1: " in done.stdout
    told = json.loads(preloaded.run((*typed, "--json"), tmp_path, environment(), timeout_s=100).stdout)
    assert told["together"]["trials"] == 4 and sorted(told["together"]["alone"]) == ["1", "3", "5", "7"]


def slow(facts, config):
    """Facts of a run whose shutdown was measured."""
    return dataclasses.replace(facts(config), shutdown_s=100.0, kill_wait_s=150.0)


def test_the_job_of_a_group_is_told_to_save_in_time_for_all_its_trials(compose, facts):
    config = compose(*BASE)
    plan = decide(config, slow(facts, config))
    assert plan.job_options["signal"] == "B:USR1@290"
    assert with_notice_of_group(config, plan, 4).job_options["signal"] == "B:USR1@890"
    assert with_notice_of_group(config, plan, 1) == plan
    own = compose(*BASE, "+cluster.sbatch.signal=B:USR1@290")
    plan = decide(own, slow(facts, own))
    assert with_notice_of_group(own, plan, 4).job_options["signal"] == "B:USR1@290"


def test_plan_shows_trials_per_gpu_their_memory_and_whether_all_can_save(compose, facts):
    config = compose(*BASE, "cluster.gpu_memory_gib=80", "sweep.together=4")
    plan = decide(config, slow(facts, config))
    found = plan_together(config, plan)
    assert (
        found
        and found["trials"] == 4
        and found["gib"]
        and found["one_gib"]
        and found["gib"] > found["one_gib"]
    )
    assert found["shutdown"] == {"needs_s": 400.0, "given_s": 150.0, "fits": False}
    (name, line), (_, late) = together_lines(found, plan)
    assert name == "together" and line.startswith(
        f"4 trials per GPU in a sweep; {found['gib']:.1f} GiB of a GPU for all"
    )
    assert (
        "two steps and a save of each of 4 trials take 6.67 min (measured), but KillWait is 2.5 min" in late
    )


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["sweep.together=4", "plugins.lora.dropout=0.1"], "plugins.lora.dropout=0.1: "),
        (["sweep.together=auto", "cluster.gpu_memory_gib=18"], "only one such trial fits at a time"),
    ],
)
def test_plan_says_why_such_a_trial_would_run_alone(compose, facts, overrides, why):
    config = compose(*BASE, *overrides)
    plan = decide(config, facts(config))
    ((_, line),) = together_lines(plan_together(config, plan), plan)
    assert line.startswith("no, such a trial runs alone; ") and why in line


def test_plan_is_silent_about_groups_without_a_request(compose, facts):
    config = compose(*BASE)
    assert plan_together(config, decide(config, facts(config))) is None


def test_plan_prints_the_size_of_a_group(tmp_path):
    typed = ("plan", "+experiment=tiny", "cluster=local", "resources.device=cpu", "sweep.together=3")
    assert (
        "together  3 trials per rank in a sweep; in turns: "
        in preloaded.run(typed, tmp_path, environment()).stdout
    )
    told = json.loads(preloaded.run((*typed, "--json"), tmp_path, environment()).stdout)
    assert told["together"]["trials"] == 3
