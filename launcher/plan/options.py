"""Checks options for speed and memory that do not work with every device and method, before a GPU is allocated."""

from launcher.config import Config
from launcher.errors import PlanError, unknown
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.names import ATTENTION


def check_options(config: Config, plan: LaunchPlan) -> None:
    """PlanError for an option that cannot work in this plan."""
    _check_attention(config, plan)
    _check_compile(config, plan)
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
            "trainer.torch_compile=true: memory and time are estimated as without it; compiled blocks keep fewer activations"
        )
    if config.strategy.cpu_ram_efficient_loading and not plan.loads_once and plan.topology.world_size > 1:
        found.append(
            "strategy.cpu_ram_efficient_loading=true: every rank still loads these weights, because quantised ones "
            "cannot be sent, and PiSSA and OLoRA keep a part of them on each rank"
        )
    return found


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
