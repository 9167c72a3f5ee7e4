"""The checks of a plan after its plugins: the combination that the rules check, and options for speed and memory."""

from launcher.config import Config, has_evaluation
from launcher.config.eval_job import EvalJobConfig
from launcher.errors import PlanError, unknown
from launcher.methods.registry import find_method
from launcher.plan.adapter import Adapter, trains_head
from launcher.plan.blocks import SINKS
from launcher.plan.broken_rules import check_rules
from launcher.plan.combination import Combination
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.names import ATTENTION

_MXFP4, _BITSANDBYTES = "mxfp4", "bitsandbytes"
"""The formats of packed weights, as quant_method in config.json names them, over which an adapter can be trained."""


def combination_of(config: Config, plan: LaunchPlan) -> Combination:
    """The settings of this run that the rules look at."""
    adapter, method, shape = plan.adapter, find_method(plan.trainer), plan.facts.architecture
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
        second_model=plan.facts.teacher_name is not None
        or (method.has_reference(config) and adapter is None),
        guarded=any(plugin.needs_token_predictions for plugin in plan.plugins.values()),
        saves=plan.save is not None,
        optimizer=config.trainer.optim,
        attention=config.model.attn_implementation,
        heads=shape.num_attention_heads if shape else None,
        key_value_heads=shape.num_key_value_heads if shape else None,
        sees_less=shape is not None and shape.full_attention_layers not in (None, shape.num_hidden_layers),
        experts=bool(shape.num_experts) if shape else None,
        balances=bool(config.trainer.router_aux_loss_coef),
        tiles=config.trainer.mlp_tile_tokens is not None,
        compiled=config.trainer.torch_compile,
        trains_head=adapter is not None and _trains_head(plan, adapter),
        trains_tokens=adapter is not None and adapter.tokens > 0,
        kernels=bool(plan.kernels),
        rank_starter=plan.rank_starter,
        spares=plan.spares,
        generates=plan.generation.mode if plan.generation else "none",
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
    """Whether the checkpoint's experts are packed in MXFP4, which becomes plain weights when it is loaded.

    Where config.json is not here, the experts of a gpt-oss are taken to be in MXFP4, as the hub has them, unless the
    checkpoint's name says bf16.
    """
    known, shape = plan.facts.stored_as, plan.facts.architecture
    if known is None:
        return (
            shape is not None and shape.model_type in SINKS and "bf16" not in plan.model.name_or_path.lower()
        )
    return known == _MXFP4


def check_stored(plan: LaunchPlan) -> None:
    """PlanError for a checkpoint whose weights are packed in a format that cannot be trained as the run wants to.

    Sources: transformers 5.23, Mxfp4Config(dequantize=True), which makes plain weights; peft 0.21, whose LoRA takes the weights
    of bitsandbytes as they are.
    """
    stored, adapter = plan.facts.stored_as, plan.adapter
    told = f"model.name_or_path={plan.model.name_or_path} has weights packed by {stored}"
    if stored in (None, "", _MXFP4):
        return
    if stored != _BITSANDBYTES:
        raise PlanError(
            f"{told}, which cannot be trained here; use the model's checkpoint with plain weights: plugin=[qlora] packs them "
            "in 4 bits while it loads them"
        )
    if adapter is None or not (adapter.four_bit or adapter.eight_bit):
        raise PlanError(
            f"{told}, which only an adapter over packed weights takes as they are; use plugin=[qlora] for 4 bits or "
            "plugins.lora.load_in=8bit for 8, or the model's checkpoint with plain weights"
        )


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


def check_options(config: Config, plan: LaunchPlan) -> None:
    """PlanError for an option that cannot work in this plan."""
    _check_attention(config, plan)
    _check_compile(config, plan)
    if config.eval_job != EvalJobConfig() or any(traits.needs_task for traits in plan.plugins.values()):
        from launcher.plan.eval_job import check_eval_job  # imported here: few runs are evaluated on tasks

        check_eval_job(config, plan)
    if config.trainer.activation_offloading and plan.device != "cuda":
        raise PlanError(
            "trainer.activation_offloading=true moves activations from a GPU to its host, but this run is on a CPU; take it out"
        )


def notes(config: Config, plan: LaunchPlan) -> list[str]:
    """Advice on settings that work but may not be the best choice."""
    found: list[str] = []
    attention = config.model.attn_implementation
    if config.trainer.packing and plan.device == "cuda" and attention in (None, "sdpa", "eager"):
        found.append(
            f"packed sequences need a mask with model.attn_implementation={attention or 'sdpa'}; flash_attention_2 needs none "
            "and is faster, if flash-attn is installed"
        )
    if config.trainer.torch_compile and plan.adapter and plan.adapter.four_bit:
        found.append(
            "trainer.torch_compile=true: 4-bit layers are not compiled, only the layers between them"
        )
    if config.trainer.torch_compile and plan.memory is not None:
        found.append(
            "trainer.torch_compile=true: memory is estimated as without it; compiled blocks keep fewer activations"
        )
    found += _far_apart(plan)
    if config.strategy.cpu_ram_efficient_loading and not plan.loads_once and plan.topology.world_size > 1:
        found.append(
            "strategy.cpu_ram_efficient_loading=true: every rank still loads these weights, because quantised ones "
            "cannot be sent, and PiSSA and OLoRA keep a part of them on each rank"
        )
    return found


def _far_apart(plan: LaunchPlan) -> list[str]:
    """A sentence if ranks that share a sequence are on several nodes."""
    size, node = plan.degrees.sequence, plan.topology.gpus_per_node
    if size == 1 or (size <= node and node % size == 0):
        return []
    return [
        f"strategy.sequence_parallel_size={size}: ranks of several nodes share a sequence, and exchange it over the "
        f"network four times in every layer; a degree that divides the {node} ranks of a node is faster"
    ]


def _check_attention(config: Config, plan: LaunchPlan) -> None:
    name = config.model.attn_implementation
    if name is None or "/" in name:
        return
    if name not in ATTENTION:
        raise PlanError(f"model.attn_implementation: {unknown('attention kernel', name, ATTENTION)}")
    if name in ("sdpa", "eager"):
        return
    if plan.device != "cuda":
        raise PlanError(
            f"model.attn_implementation={name} has no training kernel for a CPU; use sdpa, or resources.device=cuda"
        )
    if name.startswith("flash") and plan.precision != "bf16":
        raise PlanError(
            f"model.attn_implementation={name} computes in 16 bits, but trainer.precision={plan.precision}; use "
            "trainer.precision=bf16, or model.attn_implementation=sdpa"
        )


def _check_compile(config: Config, plan: LaunchPlan) -> None:
    if config.trainer.torch_compile and not plan.strategy.compiles:
        raise PlanError(
            f"trainer.torch_compile=true does not work with strategy={plan.strategy.name}: DeepSpeed's hooks gather and reduce "
            "inside of what would be compiled; use strategy=fsdp2 or ddp, or take trainer.torch_compile out"
        )
