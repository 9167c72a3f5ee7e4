"""zero3: DeepSpeed shards optimizer state, gradients and weights over all ranks; zero3_offload keeps them in host memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from launcher.config import StrategyConfig
from launcher.errors import PlanError
from launcher.strategies._deepspeed import ENGINE, Zero
from launcher.strategies.base import Strategy, Tensors
from launcher.strategies.degrees import Degrees, check_divisor
from launcher.strategies.files import StrategyInputs
from launcher.strategies.trained import Moment, Traffic, Trained, Units, share_sent, size_of

LIVE = 1_000_000_000
"""stage3_max_live_parameters: the most elements that are gathered at once."""
_SUB_GROUP = 1_000_000_000  # elements; DeepSpeed's default of sub_group_size


def sizes(hidden_size: int) -> dict[str, int]:
    """The three sizes, in elements, that transformers derives from the model's width where deepspeed.json says `auto`.

    Source: transformers 5.23, integrations/deepspeed.py (trainer_config_finalize).
    """
    return {
        "reduce_bucket_size": hidden_size * hidden_size,
        "stage3_prefetch_bucket_size": int(0.9 * hidden_size * hidden_size),
        "stage3_param_persistence_threshold": 10 * hidden_size,
    }


class Zero3(Zero):
    """ZeRO stage 3."""

    __slots__ = ()
    order: ClassVar[int | None] = 50
    shards_weights: ClassVar[bool] = True
    gathers_by_module: ClassVar[bool] = True
    gathers_to_generate: ClassVar[bool] = True
    loads_shards: ClassVar[bool] = True
    second_copy: ClassVar[bool] = True

    def check(self, config: StrategyConfig) -> None:
        """PlanError for a second copy of offloaded weights, which DeepSpeed 0.19.8 would keep in host memory too.

        Source: partition_parameters.py (_partition_param_sec, remote_device).
        """
        if config.hpz_size != 1 and config.offload_param:
            raise PlanError(
                f"strategy.hpz_size={config.hpz_size} with strategy.offload_param=true would keep the second copy in host "
                "memory too, where it makes no gather faster; use strategy.offload_param=false, or strategy.hpz_size=1"
            )

    def degrees(self, config: StrategyConfig, world_size: int) -> Degrees:
        """All ranks share one copy of the sharded state, and hpz_size of them each second copy of the weights."""
        check_divisor("hpz_size", config.hpz_size, world_size, world_size)
        return dataclasses.replace(Zero.degrees(self, config, world_size), hpz=config.hpz_size)

    def config_on(self, degrees: Degrees) -> StrategyConfig:
        """The settings of the strategy with the ranks of a second copy."""
        return dataclasses.replace(self.config(), hpz_size=degrees.hpz)

    def presets(self) -> Iterator[Strategy]:
        """The strategy with its state on the GPUs, and with its state in host memory."""
        yield self
        yield dataclasses.replace(
            self, name=f"{self.name}_offload", offload_optimizer=True, offload_param=True
        )

    def zero_optimization(self, job: StrategyInputs) -> dict[str, Any]:
        """The section zero_optimization: weights are gathered for a save, and at most LIVE elements at once."""
        zero = Zero.zero_optimization(self, job) | (sizes(job.hidden_size) if job.hidden_size else {})
        offload = {name: zero.pop(name) for name in [*zero] if name.startswith("offload")}
        return {
            **zero,
            "stage3_gather_16bit_weights_on_model_save": True,
            "stage3_max_live_parameters": LIVE,
            "stage3_max_reuse_distance": 1_000_000_000,
            **({"zero_hpz_partition_size": job.degrees.hpz} if job.degrees.hpz > 1 else {}),
            **offload,
        }

    def bucket(self, deepspeed: Mapping[str, Any] | None) -> int | None:
        """As in the other stages; also None if the size is derived from the model's width."""
        zero = (deepspeed or {}).get("zero_optimization", {})
        size = Zero.bucket(self, deepspeed)
        return None if size and zero.get("stage3_prefetch_bucket_size") == int(0.9 * size) else size

    def shard(self, tensors: Tensors, degrees: Degrees) -> int:
        """The rank's share of every tensor, each sharded separately. Source: DeepSpeed 0.19.8, partition_parameters.py."""
        return sum(-(-size_of(dims) // degrees.shard_size) * count for dims, count in tensors)

    def gradient_bytes_at(self, load: Trained, moment: Moment) -> float:
        """Bytes of the rank's share, which is one flat tensor from the start. Source: DeepSpeed 0.19.8, stage3.py."""
        return self.gradient_bytes(load)

    def buffer_bytes(self, load: Trained, units: Units, moment: Moment) -> float:
        """Bytes of one gradient bucket, the gathered weights, and the small tensors that are not sharded.

        LIVE limits what is gathered ahead. During the backward passes of the blocks, the gathered head exists in addition.
        A block's weights are released after its backward pass. Where the same model makes two forward passes before a backward
        pass, as an adapter's own reference does, or generates, DeepSpeed's record of the order never completes: a block is
        released at once. Outside of the bucket two gradients exist: the largest that is computed, and the one before it,
        which is reduced.

        Source: DeepSpeed 0.19.8, stage3.py, partitioned_param_coordinator.py (release_sub_module) and parameter_offload.py
        (_start_of_forward_hook). Lifetimes on a fake CUDA device, no kernels.
        """
        if moment is Moment.STEP:
            return 0
        ahead = LIVE + (load.table if moment.in_blocks else 0)
        whole = min(load.parameters, ahead) * load.width
        tensors = load.all_tensors + (load.trained_tensors if load.adapter else [])
        elements = ((size_of(dims), count) for dims, count in tensors)
        own = sizes(load.hidden_size)
        limit, bucket = own["stage3_param_persistence_threshold"], load.bucket or own["reduce_bucket_size"]
        persistent = sum(size * count for size, count in elements if size <= limit) * load.width
        reduced = 0 if moment.before_backward or moment.between_steps else bucket * load.width
        if moment is Moment.GENERATE:  # trl gathers the whole model (ds3_gather_for_generation)
            return load.parameters * load.width + persistent
        sizes_of_blocks = [size_of(dims) for dims, _ in load.trained_tensors if size_of(dims) != load.table]
        gradients = 2 * load.width * max(sizes_of_blocks, default=0) if moment.in_blocks else 0
        gathered = max(whole, units.head + 2 * units.block)
        if (load.reference and load.adapter is not None) or load.generated:
            gathered = units.head + units.block
        elif moment in (Moment.LAST_BLOCK, Moment.EMBEDDING):
            gathered = units.head + (2 * units.block if moment is Moment.LAST_BLOCK else 0)
        return gathered + persistent + reduced + gradients

    def step_bytes(self, load: Trained, elements: int, foreach: bool) -> float:
        """Temporary bytes of the step of one sub-group. Source: DeepSpeed 0.19.8, stage3.py."""
        return Zero.step_bytes(self, load, min(elements, _SUB_GROUP), foreach)

    def communication_bytes(self, load: Trained, weights: float) -> float:
        """Bytes of the weights, sent twice per forward and backward pass (three times with checkpointing), and of the
        gradients, sent in each.

        Source: ZeRO (arXiv 1910.02054), section 7.2.2; DeepSpeed 0.19.8 on accumulation.
        """
        return sum(part.bytes for part in self.sent(load, weights))

    def sent(self, load: Trained, weights: float) -> tuple[Traffic, ...]:
        """With a second copy, only the first gather of the trained weights in a step and the gradients go over all ranks;
        frozen weights keep their second copy from step to step.

        Source: ZeRO++ (arXiv 2306.10209), section 3.2; DeepSpeed 0.19.8, stage3.py (invalidate_secondary_tensor).
        """
        degrees = load.degrees
        gathered = weights * (3 if load.checkpointing else 2) * load.accumulation
        gradients = load.trained * load.width * load.accumulation
        if degrees.hpz == 1:
            everywhere = share_sent(degrees.shard_size) * (gathered + gradients)
            return (Traffic(bytes=everywhere, span=degrees.world_size),)
        first = load.trained * load.width
        return (
            Traffic(bytes=share_sent(degrees.hpz) * (gathered - first), span=degrees.hpz),
            Traffic(bytes=share_sent(degrees.shard_size) * (first + gradients), span=degrees.world_size),
        )


SPEC = Zero3(name="zero3", engine=ENGINE, zero_stage=3)
