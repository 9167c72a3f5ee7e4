"""A plan after its plugins -> the combination that the rules look at, and the check of it."""

from launcher.config import Config
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.objective import generations
from launcher.plan.rules import Combination, check_rules


def combination_of(config: Config, plan: LaunchPlan) -> Combination:
    """What is combined in this run."""
    adapter = plan.adapter
    return Combination(
        trainer=plan.trainer,
        loss_type=config.trainer.loss_type,
        strategy=plan.strategy,
        device=plan.device,
        precision=plan.precision,
        ranks=plan.topology.world_size,
        micro_batch_size=plan.batch.micro_batch_size,
        generations=generations(config),
        evaluates=config.data.eval_path is not None,
        adapter=adapter is not None,
        four_bit=adapter is not None and adapter.four_bit,
        dropout=adapter is not None and adapter.dropout,
        disable_dropout=config.trainer.disable_dropout,
        attention=config.model.attn_implementation,
        rank_starter=plan.rank_starter,
        spares=plan.spares,
    )


def checked(config: Config, plan: LaunchPlan) -> LaunchPlan:
    """The plan as it is; PlanError with the rule's number where its combination is known not to work."""
    check_rules(combination_of(config, plan))
    return plan
