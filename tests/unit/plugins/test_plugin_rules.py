"""What plugins refuse in the plan and change in it, when a metric counts as no better, and what status warns of."""

import pytest

from launcher.errors import ConfigError, PlanError
from launcher.launching.place_gate import check_plugins
from launcher.plugins.base import make_plugins
from launcher.plugins.patience import Patience
from launcher.run.course import Course
from launcher.run.totals import Faults
from launcher.status.learning import overfitting
from launcher.supervise.policy import Capacity, Do, EndedAttempt, How, decide
from tests.support.events import metrics_of

LORA = ("+experiment=llama8b_lora",)


@pytest.fixture
def gate(compose, facts):
    """Checks what the plugins of some overrides need of the machine."""

    def gate(*overrides: str, **changes: str) -> None:
        config = compose(*LORA, *overrides)
        check_plugins(config, facts(config, **changes), make_plugins(config.plugins))

    return gate


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("plugin=[qlora]", "strategy=fsdp2", "plugins.qlora.storage_dtype=uint8"),
         "plugins.qlora.storage_dtype=uint8 cannot be sharded by strategy=fsdp2"),
        (("plugin=[qlora]", "plugins.qlora.init_lora_weights=pissa"), "plugins.qlora.init_lora_weights=pissa changes the base"),
        (("plugin=[qlora]", "plugins.qlora.compute_dtype=int8"), "plugins.qlora.compute_dtype='int8' must be one of"),
        (("strategy=fsdp2", "plugins.lora.modules_to_save=[lm_head]"),
         "modules_to_save with the head"),
        (("plugins.lora.r=2000", "plugins.lora.init_lora_weights=olora"), "plugins.lora.r=2000 exceeds the width 1024"),
        (("plugin=[lora,early_stopping]",), "plugins.early_stopping needs evaluations during training"),
        (("plugin=[lora,early_stopping]", "trainer.eval_steps=5"), "plugins.early_stopping.restore_best=true exports from a"),
        (("plugin=[lora,early_stopping]", "plugins.early_stopping.metric=tasks/acc"),
         "plugins.early_stopping.metric=tasks/acc must be tasks/TASK/METRIC"),
        (("plugin=[lora,early_stopping]", "plugins.early_stopping.metric=tasks/a/acc"),
         "plugins.early_stopping.restore_best=true finds the best checkpoint by its eval_loss, but plugins.early_stopping."
         "metric=tasks/a/acc is a figure of tasks"),
        (("plugin=[lora,early_stopping]", "plugins.early_stopping.metric=eval_x"),
         "plugins.early_stopping.restore_best=true finds"),
        (("plugin=[lora,forgetting_guard]", "plugins.forgetting_guard.max_increase=1"),
         "plugins.forgetting_guard.max_increase=1 must be a number above 1"),
        (("plugin=[lora,forgetting_guard]", "trainer=reward"), "plugins.forgetting_guard, or another plugin"),
        (("plugin=[lora,neftune]", "plugins.neftune.noise_alpha=0.0"),
         "plugins.neftune.noise_alpha=0.0 must be a number above 0"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_a_plugin_refuses_in_the_plan_with_its_key_and_the_way_out(plan, overrides, said):
    with pytest.raises((PlanError, ConfigError)) as refused:
        plan(*LORA, *overrides)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def test_liger_is_refused_on_cpu_ranks_and_where_this_machine_lacks_it(plan, gate):
    with pytest.raises(PlanError, match=r"plugins\.liger on a CPU"):
        plan(*LORA, "plugin=[lora,liger]", device="cpu", cluster="local")
    with pytest.raises(
        ConfigError, match="liger-kernel, which is not installed here; pip install liger-kernel"
    ):
        gate("plugin=[lora,liger]", cluster="local")
    gate(
        "plugin=[lora,liger]", "cluster.python=/opt/python", cluster="local"
    )  # another Python is not looked into


def test_a_text_that_does_not_exist_is_refused_before_the_launch(gate):
    with pytest.raises(ConfigError, match=r"plugins\.forgetting_guard\.text_path=nowhere\.txt is not a file"):
        gate("plugin=[lora,forgetting_guard]", "plugins.forgetting_guard.text_path=nowhere.txt")
    gate("plugin=[lora,forgetting_guard]")


def test_a_plan_with_liger_keeps_less_for_the_backward_pass(plan):
    plain, fused = plan(*LORA, "plugin=[lora]"), plan(*LORA, "plugin=[lora,liger]")
    assert fused.kernels == ("rope", "rms_norm", "glu")
    assert fused.memory.parts["activations"] < 0.85 * plain.memory.parts["activations"]
    assert fused.memory.parts["logits"] == plain.memory.parts["logits"]


def test_dora_and_whole_modules_cost_what_they_hold(plan):
    plain, dora = plan(*LORA), plan(*LORA, "plugins.lora.use_dora=true")
    head = plan(*LORA, "plugins.lora.modules_to_save=[lm_head]")
    assert dora.model.trainable_parameters - plain.model.trainable_parameters == 32 * (
        4 * 4096 + 2 * 1024 + 2 * 14336 - 4096
    )
    assert dora.memory.parts["activations"] > plain.memory.parts["activations"]
    assert head.model.trainable_parameters - plain.model.trainable_parameters == 128256 * 4096
    assert head.memory.parts["optimizer"] - plain.memory.parts["optimizer"] == pytest.approx(
        8 * 128256 * 4096 / 2**30, abs=0.01
    )


def test_early_stopping_keeps_the_best_checkpoint(plan):
    made = plan(*LORA, "plugin=[lora,sharded_checkpoint,early_stopping]", "trainer.eval_steps=7")
    assert made.save.keep_best == 1


def seen(*values: float, **options: float) -> Patience:
    found = Patience(**{"patience": 2, "threshold": 0.0, "greater_is_better": False, **options})
    for step, value in enumerate(values, start=1):
        found = found.after(step, value)
    return found


def test_patience_ends_after_so_many_values_in_a_row_that_are_no_better():
    assert not seen(3, 2, 2).over
    assert seen(3, 2, 2, 2.5).over
    assert not seen(3, 2, 2.5, 1.9, 2).over
    assert seen(3, 2, 2.5, 1.9, 2, 1.9).best_step == 4
    assert seen(3, 2.9, 2.8, threshold=0.3).over
    assert not seen(1, 2, 3, greater_is_better=True).over
    assert seen(float("nan"), float("nan")).over
    assert seen(float("nan"), 2).best == 2


def lines(train: list[float], evaluated: dict[int, float]) -> Course:
    told = [{"step": step, "loss": loss} for step, loss in enumerate(train, start=1)]
    told += [{"step": step, "eval_loss": loss} for step, loss in evaluated.items()]
    return Course(metrics_of(told))


def test_a_rising_evaluation_loss_beside_a_falling_training_loss_is_overfitting():
    falling = [3 - 0.1 * step for step in range(20)]
    warning = overfitting(lines(falling, {0: 3.0, 5: 2.0, 10: 2.2, 15: 2.5}))
    assert warning.startswith(
        "overfitting: the evaluation loss rose from 2.0000 at step 5 to 2.5000 at step 15"
    )
    assert overfitting(lines(falling, {0: 3.0, 5: 2.5, 10: 2.2, 15: 2.0})) is None
    assert overfitting(lines(falling, {5: 2.0, 15: 2.5})) is None  # one evaluation is noise
    assert overfitting(lines(falling, {5: 2.0, 10: 2.001, 15: 2.002})) is None
    assert (
        overfitting(lines(falling[::-1], {0: 3.0, 5: 2.0, 10: 2.2, 15: 2.5})) is None
    )  # diverging is another thing
    assert overfitting(Course()) is None


def test_a_run_that_forgot_too_much_is_not_started_again():
    place = Capacity(can_requeue=True, healthy_nodes=2, needed_nodes=2)
    action = decide(EndedAttempt(how=How.CRASHED, code=11, reason="it forgot"), Faults(), place)
    assert (action.do, action.code) == (Do.STOP, 11)
