"""Estimates how long a step takes: what a GPU computes, what it sends to others, and what it moves to and from its host."""

from launcher.config import ClusterConfig, Config
from launcher.frozen_dataclass import frozen_dataclass
from launcher.plan.blocks import head_dim
from launcher.plan.compute_time import PASS_S, Compute, compute_time, generate_time, step_flops
from launcher.plan.facts import Facts
from launcher.plan.gpu import Gpu, gpu_of
from launcher.plan.length import count_steps
from launcher.plan.memory.load import Load
from launcher.plan.memory.weights import frozen_bytes
from launcher.strategies.trained import Traffic, share_sent
from launcher.units import significant

NETWORK_GB_S, HOST_LINK_GB_S = 20.0, 20.0
"""GB/s of a ring over several nodes, and from one GPU to its host: assumptions."""
FOUR_BIT_SHARE = 0.75
"""With cluster.achieved_share: speed with 4-bit weights, which are dequantised in every pass, relative to bf16 weights. An
assumption."""


@frozen_dataclass
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
    """Seconds that one GPU sends in a step."""
    basis: str
    """What the estimate is derived from, as a sentence."""


def estimate_time(config: Config, load: Load, facts: Facts, steps: int | None = None) -> StepTime:
    """The time of an optimizer step: computing, sending and offloading, one after another.

    `steps`: optimizer steps of the run, if the plan has decided them. By kinds of kernels (`compute_time`) unless
    cluster.achieved_share is set. Sending is added, because published runs of FSDP fit so: it slows down the products that it
    overlaps with. This launcher has not run on a GPU: `status` shows the estimate next to the measured time, and `calibrate`
    corrects it.
    """
    cluster = config.cluster
    length = min(facts.mean_tokens + load.generated if facts.mean_tokens else load.length, load.length)
    length = load.length if config.trainer.packing else length
    compute, sent_s, offload_s = step_parts(cluster, load, length)
    step = compute.total_s + sent_s + offload_s
    gpu = gpu_of(cluster)
    tokens = load.sequences * load.answers * length * load.accumulation
    flops = step_flops(load, length) * tokens / load.degrees.sequence
    steps = expected_steps(config, facts, load, length) if steps is None else steps
    return StepTime(
        step_s=significant(step),
        tokens_per_s=significant(tokens * load.degrees.data_parallel_size / step),
        total_h=None if steps is None else significant(steps * step / 3600),
        steps=steps,
        compute_s=significant(compute.total_s),
        communication_s=significant(sent_s),
        basis=f"{flops:.3g} FLOPs per GPU and step {_speed(cluster, gpu, load)}, {length} tokens per sequence, "
        f"{_links(cluster, gpu, load)} between GPUs; not run on a GPU",
    )


def step_parts(cluster: ClusterConfig, load: Load, length: int) -> tuple[Compute, float, float]:
    """Seconds of an optimizer step over sequences of `length` tokens: computing, sending, and moving to and from the host."""
    gpu = gpu_of(cluster)
    if cluster.achieved_share is None:
        compute = compute_time(load, length, gpu)
    else:
        tokens = load.sequences * load.answers * length * load.accumulation / load.degrees.sequence
        flops = step_flops(load, length) * tokens
        speed = gpu.tflops * 1e12 * cluster.achieved_share * (FOUR_BIT_SHARE if _four_bit(load) else 1)
        launch_s = load.accumulation * load.shape.num_hidden_layers * PASS_S
        compute = Compute(matrices_s=flops / speed, launch_s=launch_s, generate_s=generate_time(load, gpu))
    sent_s = sum(_seconds(cluster, gpu, load, part) for part in sent_parts(load, length))
    return compute, sent_s, offload_bytes(load) / (HOST_LINK_GB_S * 1e9)


def sent_parts(load: Load, length: int) -> tuple[Traffic, ...]:
    """What one GPU sends in a step, by the groups of ranks in which it is sent.

    DDP sends the gradients once, at twice their size; ZeRO-1 the gradients and the new weights once; ZeRO-2 the gradients in
    every pass and the new weights once; ZeRO-3 and FSDP2 the weights twice in every pass (three times with checkpointing), and
    the gradients. With several copies of the state, FSDP2 sends these within a copy, and each rank's share of the gradients
    over the copies. With a second copy of the weights, ZeRO-3 gathers them within its ranks, except the first time in a step.
    For each generated token FSDP2 sends the weights once more, and ZeRO-3 once for all of them. Ranks that share sequences of
    `length` tokens exchange them. A sharded teacher's weights are sent once in each of its forward passes.
    Source: ZeRO (arXiv 1910.02054), section 7; ZeRO++ (arXiv 2306.10209); DeepSpeed 0.19.8 and accelerate 1.15 on accumulation.
    """
    weights = frozen_bytes(load) + load.trained * load.width
    parts = load.acting.sent(load, weights)
    if load.generated and load.generates_here and load.shards_weights:
        gathers = 1 if load.acting.gathers_to_generate else load.generated
        sent = share_sent(load.shard_size) * weights * gathers
        parts = (*parts, Traffic(bytes=sent, span=load.acting.gathering_span(load.degrees)))
    if load.teaching and load.shards_weights:
        sent = share_sent(load.shard_size) * load.teaching.parameters * load.width * load.accumulation
        parts = (*parts, Traffic(bytes=sent, span=load.acting.gathering_span(load.degrees)))
    if load.degrees.sequence > 1:
        parts = (*parts, Traffic(bytes=exchanged_bytes(load, length), span=load.degrees.sequence))
    return parts


def communication_bytes(load: Load) -> float:
    """Bytes that one GPU sends in a step."""
    return sum(part.bytes for part in sent_parts(load, load.length))


def exchanged_bytes(load: Load, length: int) -> float:
    """Bytes that one GPU sends in a step to those that share its sequences of `length` tokens: in every block q, k, v and the
    attention's output in the forward pass, their gradients in the backward pass, and again what is recomputed.

    Source: Jacobs et al., DeepSpeed Ulysses (arXiv 2309.14509), section 3.2.
    """
    shape, ranks = load.shape, load.degrees.sequence
    tokens = load.sequences * load.answers * length * load.accumulation / ranks
    heads = 2 * shape.num_attention_heads + 2 * max(shape.num_key_value_heads, ranks)
    passes = 3 if load.checkpointing else 2
    return share_sent(ranks) * passes * load.layers * heads * head_dim(shape) * load.width * tokens


def offload_bytes(load: Load) -> float:
    """Bytes that one GPU moves to and from its host in a step, and that the optimizer reads and writes on the host.

    Source: Ren et al., ZeRO-Offload (arXiv 2101.06840), section 4.
    """
    if not load.strategy.offloads:
        return 0
    trained = load.trained / load.shard_size
    moved = 2 * trained * load.trained_width + 28 * trained
    if load.strategy.offload_param:
        gathers = (3 if load.checkpointing else 2) * load.accumulation
        moved += gathers * (frozen_bytes(load) + load.trained * load.width) / load.shard_size
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


def _speed(cluster: ClusterConfig, gpu: Gpu, load: Load) -> str:
    """How fast a GPU is taken to compute, and why."""
    known = cluster.gpu_tflops or cluster.gpu_type
    whose = "" if known else f" (an {gpu.name}'s: neither cluster.gpu_tflops nor cluster.gpu_type is set)"
    if cluster.achieved_share is not None:
        slower = f", x {FOUR_BIT_SHARE} for 4-bit weights" if _four_bit(load) else ""
        return f"at {cluster.achieved_share:.0%} of {gpu.tflops:g} TFLOP/s{whose}{slower}"
    return (
        f"at {gpu.tflops:g} TFLOP/s{whose}: {gpu.matrix_share:.0%} of it for matrices, {gpu.attention_share:.0%} for attention "
        f"({'as in published runs' if gpu.fitted else 'assumed'}), and {gpu.memory_gb_s:g} GB/s of its memory for the rest"
    )


def _seconds(cluster: ClusterConfig, gpu: Gpu, load: Load, part: Traffic) -> float:
    """Seconds in which one GPU sends this part. Groups over several nodes that begin on the same node share its network."""
    rings = 1 if _stays_inside(load, part) else min(part.rings, load.gpus_per_node)
    return rings * part.bytes / (_link(cluster, gpu, load, part) * 1e9)


def _stays_inside(load: Load, part: Traffic) -> bool:
    """Whether each of these groups has all of its ranks on one node."""
    return part.span <= load.gpus_per_node and load.gpus_per_node % part.span == 0


def _link(cluster: ClusterConfig, gpu: Gpu, load: Load, part: Traffic) -> float:
    """GB/s of the slowest link in a ring over the ranks of a group."""
    return gpu.link_gb_s if _stays_inside(load, part) else (cluster.network_gb_s or NETWORK_GB_S)


def _links(cluster: ClusterConfig, gpu: Gpu, load: Load) -> str:
    """The speeds of the links that are used, as text."""
    speeds = dict.fromkeys(_link(cluster, gpu, load, part) for part in sent_parts(load, load.length))
    return " and ".join(f"{speed:g} GB/s" for speed in speeds)
