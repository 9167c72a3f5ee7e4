"""Whether torch's allocator on the ranks grows its segments: decided by the plan, and read from it by the memory estimate."""

from collections.abc import Mapping

from launcher.config import Config, GpuVendor
from launcher.config.generation import GenerationMode
from launcher.environment import ALLOCATOR, OLDER_ALLOCATOR

GROWS = "expandable_segments:True"


def allocator_variables(config: Config, device: str) -> dict[str, str]:
    """The variable that makes the segments grow; empty if cluster.env has settings of the allocator, and where they cannot.

    They cannot with vLLM in the ranks, whose memory pool needs segments that stay, and are not asked for on AMD's GPUs, for
    which torch lists no support. Source: vLLM's CuMemAllocator; pytorch issue 147851; torch's notes on CUDA, "Optimizing
    memory usage with PYTORCH_ALLOC_CONF".
    """
    own = {ALLOCATOR, OLDER_ALLOCATOR} & set(config.cluster.env)
    inside = config.generation.mode is GenerationMode.colocate
    amd = config.cluster.gpu_vendor is GpuVendor.amd
    if device != "cuda" or own or inside or amd or not config.cluster.expandable_segments:
        return {}
    return {ALLOCATOR: GROWS}


def grows_segments(env: Mapping[str, str]) -> bool:
    """Whether the ranks' environment makes them grow. torch reads the older variable only without the newer one."""
    return GROWS in env.get(ALLOCATOR, env.get(OLDER_ALLOCATOR, "")).replace(" ", "")
