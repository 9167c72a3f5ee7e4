"""The combination of a plan after its plugins, which the rules check."""

from launcher.config import Config, has_evaluation
from launcher.errors import PlanError
from launcher.methods.registry import find_method
from launcher.plan.adapter import Adapter, trains_head
from launcher.plan.blocks import SINKS
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.rules import Combination, check_rules


def combination_of(config: Config, plan: LaunchPlan) -> Combination:
    """The settings of this run that the rules look at."""
    adapter, method = plan.adapter, find_method(plan.trainer)
    return Combination(
        trainer=plan.trainer,
        method=method,
        loss_type=config.trainer.loss_type,
        strategy=plan.strategy,
        device=plan.device,
        precision=plan.precision,
        degrees=plan.degrees,
        micro_batch_size=config.batch.eval_micro_batch_size or plan.batch.micro_batch_size,
        generations=method.generations(config),
        evaluates=has_evaluation(config.data),
        adapter=adapter is not None,
        four_bit=adapter is not None and adapter.four_bit,
        eight_bit=adapter is not None and adapter.eight_bit,
        packed=_is_packed(plan),
        dora=adapter is not None and adapter.dora,
        dropout=adapter is not None and adapter.dropout,
        disable_dropout=config.trainer.disable_dropout,
        moves_weights=any(plugin.moves_weights for plugin in plan.plugins.values()),
        has_reference=method.has_reference(config),
        guarded=any(plugin.needs_token_predictions for plugin in plan.plugins.values()),
        saves=plan.save is not None,
        optimizer=config.trainer.optim,
        attention=config.model.attn_implementation,
        trains_head=adapter is not None and _trains_head(plan, adapter),
        trains_tokens=adapter is not None and adapter.tokens > 0,
        kernels=bool(plan.kernels),
        rank_starter=plan.rank_starter,
        spares=plan.spares,
        declared=tuple(
            (f"plugins.{name}", rule) for name, traits in plan.plugins.items() for rule in traits.rules
        ),
    )


def _trains_head(plan: LaunchPlan, adapter: Adapter) -> bool:
    shape = plan.facts.architecture
    if adapter.tokens:
        return True
    return trains_head(shape, adapter) if shape else "lm_head" in adapter.modules_to_save


def _is_packed(plan: LaunchPlan) -> bool:
    """Whether the checkpoint's weights are packed, other than by bitsandbytes, which the adapter may take as they are.

    Where config.json is not here, the experts of a gpt-oss are taken to be in MXFP4, as the hub has them, unless the
    checkpoint's name says bf16.
    """
    known, shape = plan.facts.stored_as, plan.facts.architecture
    if known is None:
        return (
            shape is not None and shape.model_type in SINKS and "bf16" not in plan.model.name_or_path.lower()
        )
    return known not in ("", "bitsandbytes")


def check_needs(plan: LaunchPlan) -> None:
    """PlanError for a plugin that needs evaluations in a run that makes none."""
    for name, plugin in plan.plugins.items():
        if plugin.needs_eval and plan.trainer_args.get("eval_strategy") == "no":
            raise PlanError(
                f"plugins.{name} needs evaluations during training: set data.eval_path or data.eval_fraction, and "
                f"trainer.eval_steps, or take {name} "
                "out of plugin=[...]"
            )


def checked(config: Config, plan: LaunchPlan) -> LaunchPlan:
    """The plan, unchanged; PlanError with the rule's number if its combination is known not to work."""
    check_rules(combination_of(config, plan))
    return plan
