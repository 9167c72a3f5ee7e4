"""Whether torch's allocator on the ranks grows its segments. The plan decides it, and the memory estimate reads it there."""

from collections.abc import Mapping

from launcher.config import Config, GpuVendor
from launcher.config.generation import GenerationMode
from launcher.environment import ALLOCATOR, OLDER_ALLOCATOR

GROWS = "expandable_segments:True"


def allocator_variables(config: Config, device: str) -> dict[str, str]:
    """The variable that makes the segments grow; empty if cluster.env sets the allocator, and where segments must not grow.

    They must not with vLLM in the ranks, whose memory pool needs segments that stay, nor on AMD's GPUs, for which torch lists
    no support. Source: vLLM's CuMemAllocator; pytorch issue 147851; torch's notes on CUDA, "Optimizing memory usage with
    PYTORCH_ALLOC_CONF".
    """
    own = {ALLOCATOR, OLDER_ALLOCATOR} & set(config.cluster.env)
    inside = config.generation.mode is GenerationMode.colocate
    amd = config.cluster.gpu_vendor is GpuVendor.amd
    if device != "cuda" or own or inside or amd or not config.cluster.expandable_segments:
        return {}
    return {ALLOCATOR: GROWS}


def grows_segments(env: Mapping[str, str]) -> bool:
    """Whether the ranks' environment makes the segments grow. torch reads the older variable only if the newer is not set."""
    return GROWS in env.get(ALLOCATOR, env.get(OLDER_ALLOCATOR, "")).replace(" ", "")


def replaces(env: Mapping[str, str], shell: Mapping[str, str]) -> str | None:
    """A warning if the ranks' environment replaces the allocator's settings of the user's shell by segments that grow."""
    name = next((name for name in (ALLOCATOR, OLDER_ALLOCATOR) if shell.get(name)), None)
    if name is None or env.get(ALLOCATOR) != GROWS or grows_segments(shell):
        return None
    return (
        f"{name}={shell[name]} of your shell is replaced by {ALLOCATOR}={GROWS}, with which the memory is planned; to keep it, "
        f"set +cluster.env.{name}='{shell[name]}'"
    )
