"""Estimates how long a step takes, from FLOPs, an achieved share of the GPU's peak, and the bytes sent over the links."""

from dataclasses import dataclass

from launcher.config import ClusterConfig, Config
from launcher.plan.facts import Facts
from launcher.plan.length import count_steps
from launcher.plan.memory.load import Load
from launcher.plan.memory.weights import frozen_bytes
from launcher.plan.model import parameters_by_kind
from launcher.plan.windows import attention_width, seen_tokens
from launcher.units import significant

A100_TFLOPS = 312.0
"""Dense bf16 TFLOP/s by NVIDIA's data sheet; the default of cluster.gpu_tflops."""
LINK_GB_S, NETWORK_GB_S, HOST_LINK_GB_S = 200.0, 20.0, 20.0
"""GB/s from one GPU to others of its node, to other nodes, and to its host: defaults for the cluster file. Assumptions."""
PASS_S = 3e-4
"""Seconds that one block's forward and backward pass takes in addition to its FLOPs, to launch kernels. An assumption."""
FOUR_BIT_SHARE = 0.75
"""Speed with 4-bit weights, which are dequantised in every pass, relative to bf16 weights. An assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """How long a step takes, and all steps of the run."""

    step_s: float
    """Seconds of a step."""
    tokens_per_s: float
    """Tokens per second over all ranks."""
    total_h: float | None
    """Hours of all steps, without starts and saves; None if the number of steps is not known."""
    steps: int | None
    """Optimizer steps; None if the ranks count the rows."""
    compute_s: float
    """Seconds that one GPU computes in a step."""
    communication_s: float
    """Seconds that one GPU sends in a step; this overlaps with computing."""
    basis: str
    """What the estimate is derived from, as a sentence."""


def estimate_time(config: Config, load: Load, facts: Facts, steps: int | None = None) -> StepTime:
    """The time of an optimizer step: the maximum of computing and sending, which overlap, plus the time for offloading.

    `steps`: optimizer steps of the run, if the plan has decided them. Unverified on a GPU; `status` shows it next to the
    measured time, and `calibrate` corrects it.
    """
    cluster = config.cluster
    length = min(facts.mean_tokens or load.length, load.length)
    length = load.length if config.trainer.packing else length
    passes = load.accumulation
    tflops = cluster.gpu_tflops or A100_TFLOPS
    flops = step_flops(load, length) * load.sequences * length * passes
    speed = tflops * 1e12 * cluster.achieved_share * (FOUR_BIT_SHARE if _four_bit(load) else 1)
    compute = flops / speed + passes * load.shape.num_hidden_layers * PASS_S
    sent = communication_bytes(load) / (_link(cluster, load) * 1e9)
    step = max(compute, sent) + offload_bytes(load) / (HOST_LINK_GB_S * 1e9)
    tokens = load.sequences * length * passes * load.degrees.data_parallel_size
    steps = expected_steps(config, facts, load, length) if steps is None else steps
    return StepTime(
        step_s=significant(step),
        tokens_per_s=significant(tokens / step),
        total_h=None if steps is None else significant(steps * step / 3600),
        steps=steps,
        compute_s=significant(compute),
        communication_s=significant(sent),
        basis=f"{flops:.3g} FLOPs per GPU and step at {cluster.achieved_share:.0%} of {tflops:g} TFLOP/s"
        + ("" if cluster.gpu_tflops else " (an A100's: cluster.gpu_tflops is not set)")
        + (f", x {FOUR_BIT_SHARE} for 4-bit weights" if _four_bit(load) else "")
        + f", {length} tokens per sequence, {_link(cluster, load):g} GB/s between GPUs; unverified",
    )


def step_flops(load: Load, length: int) -> float:
    """FLOPs for one token, forward and backward.

    The forward pass costs 2 per weight of a matrix, and 2 * length * width of the heads for causal attention, less in a window.
    The backward pass
    costs the same for the gradient of the inputs, and the same again for the gradient of trained weights; for attention it
    costs twice the forward pass. Checkpointing repeats the blocks' forward pass, and the fused head repeats its own. Each of
    the method's extra passes costs one forward pass.
    Source: Kaplan et al. (arXiv 2001.08361), section 2.1; Korthikanti et al. (arXiv 2205.05198), appendix A; trl 1.16.
    """
    shape = load.shape
    table = shape.vocab_size * shape.hidden_size
    blocks = load.parameters - table * (1 if shape.tie_word_embeddings else 2)
    if shape.num_experts:
        blocks -= parameters_by_kind(shape).experts * (
            1 - (shape.num_experts_per_tok or 2) / shape.num_experts
        )
    attention = 4 * attention_width(shape) * seen_tokens(shape, length)
    forward = 2 * blocks + attention
    passes = (2 if load.adapter else 3) * 2 * blocks + 3 * attention
    head = (3 if load.adapter else 4) * 2 * table
    adapter = 6 * load.trained if load.adapter else 0
    again = forward if load.checkpointing else 0
    return passes + head + adapter + again + load.extra_passes * (forward + 2 * table)


def communication_bytes(load: Load) -> float:
    """Bytes that one GPU sends in a step.

    DDP sends the gradients once, at twice their size; ZeRO-1 the gradients and the new weights once; ZeRO-2 the gradients in
    every pass and the new weights once; ZeRO-3 and FSDP2 the weights twice in every pass (three times with checkpointing), and
    the gradients.
    Source: ZeRO (arXiv 1910.02054), section 7; DeepSpeed 0.19.8 and accelerate 1.15 on accumulation.
    """
    return load.acting.communication_bytes(load, frozen_bytes(load) + load.trained * load.width)


def offload_bytes(load: Load) -> float:
    """Bytes that one GPU moves to and from its host in a step, and that the optimizer reads and writes on the host.

    Source: Ren et al., ZeRO-Offload (arXiv 2101.06840), section 4.
    """
    if not load.strategy.offloads:
        return 0
    trained = load.trained / load.degrees.shard_size
    moved = 2 * trained * load.trained_width + 28 * trained
    if load.strategy.offload_param:
        gathers = (3 if load.checkpointing else 2) * load.accumulation
        moved += gathers * (frozen_bytes(load) + load.trained * load.width) / load.degrees.shard_size
    return moved


def expected_steps(config: Config, facts: Facts, load: Load, length: int) -> int | None:
    """Estimated optimizer steps of a run whose plan cannot decide them; None if the number of examples is not known."""
    if config.trainer.max_steps > 0:
        return config.trainer.max_steps
    if facts.rows is None:
        return None
    packed = min(facts.mean_tokens / length, 1) if config.trainer.packing and facts.mean_tokens else 1.0
    batch = load.sequences * load.accumulation * load.degrees.data_parallel_size
    return count_steps(facts.rows, batch, config.trainer.num_train_epochs * packed)


def _four_bit(load: Load) -> bool:
    return load.adapter is not None and load.adapter.four_bit


def _link(cluster: ClusterConfig, load: Load) -> float:
    """GB/s of the slowest link in a ring over all ranks."""
    inside = cluster.link_gb_s or LINK_GB_S
    return inside if load.degrees.world_size <= load.gpus_per_node else (cluster.network_gb_s or NETWORK_GB_S)
