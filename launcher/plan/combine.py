"""A plan after its plugins -> the combination that the rules look at, and the check of it."""

from typing import Any, cast

from launcher.config import Config
from launcher.methods.registry import find_method
from launcher.plan.adapter import Adapter, trains_head
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.rules import Combination, check_rules


def combination_of(config: Config, plan: LaunchPlan) -> Combination:
    """What is combined in this run."""
    adapter, method = plan.adapter, find_method(plan.trainer)
    return Combination(
        trainer=plan.trainer,
        method=method,
        loss_type=config.trainer.loss_type,
        strategy=plan.strategy,
        device=plan.device,
        precision=plan.precision,
        ranks=plan.topology.world_size,
        micro_batch_size=plan.batch.micro_batch_size,
        generations=method.generations(config),
        evaluates=config.data.eval_path is not None,
        adapter=adapter is not None,
        four_bit=adapter is not None and adapter.four_bit,
        dora=adapter is not None and adapter.dora,
        dropout=adapter is not None and adapter.dropout,
        disable_dropout=config.trainer.disable_dropout,
        moves_weights=any(_starts_elsewhere(plugin) for plugin in config.plugins.values()),
        has_reference=method.has_reference(config),
        guarded=any("forgetting_guard" in str(plugin) for plugin in config.plugins.values()),
        saves=plan.save is not None,
        optimizer=config.trainer.optim,
        attention=config.model.attn_implementation,
        trains_head=adapter is not None and _trains_head(plan, adapter),
        kernels=bool(plan.kernels),
        rank_starter=plan.rank_starter,
        spares=plan.spares,
    )


def _starts_elsewhere(plugin: Any) -> bool:
    start = cast("dict[str, Any]", plugin).get("init_lora_weights") if isinstance(plugin, dict) else None
    return str(start).startswith(("pissa", "olora"))


def _trains_head(plan: LaunchPlan, adapter: Adapter) -> bool:
    shape = plan.facts.architecture
    return trains_head(shape, adapter) if shape else "lm_head" in adapter.modules_to_save


def checked(config: Config, plan: LaunchPlan) -> LaunchPlan:
    """The plan as it is; PlanError with the rule's number where its combination is known not to work."""
    check_rules(combination_of(config, plan))
    return plan
