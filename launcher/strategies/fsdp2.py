"""fsdp2: torch's fully_shard shards weights, gradients and optimizer state; fsdp2_offload keeps them in host memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from launcher.config import StrategyConfig
from launcher.errors import PlanError
from launcher.strategies.base import Strategy, Tensors
from launcher.strategies.degrees import Degrees, check_divisor, sequence_groups
from launcher.strategies.files import Files, StrategyInputs
from launcher.strategies.trained import Moment, Traffic, Trained, Units, share_sent, size_of

_BOTH = "cuda:nccl,cpu:gloo"
"""The process group of a run that offloads: the norm of gradients on the host is summed there, by gloo. accelerate 1.15 chooses
it only if `accelerate launch` has set FSDP_OFFLOAD_PARAMS, and clipping fails with nccl alone."""


class Fsdp2(Strategy):
    """FSDP2 through accelerate, which does not use it on one rank."""

    __slots__ = ()
    order: ClassVar[int | None] = 40
    on_rank: ClassVar[str] = "launcher.train.strategies.fsdp2"
    imports: ClassVar[tuple[str, ...]] = ("torch.distributed.fsdp",)
    replicates: ClassVar[bool] = False
    shards_weights: ClassVar[bool] = True
    casts: ClassVar[Literal["operation", "unit", "module"]] = "unit"
    dtensors: ClassVar[bool] = True
    four_bit_on_host: ClassVar[bool] = True
    offloads_on_cpu: ClassVar[bool] = False
    copies: ClassVar[bool] = True

    def check(self, config: StrategyConfig) -> None:
        """PlanError for an optimizer that is offloaded without the weights."""
        if config.offload_optimizer:
            raise PlanError(
                f"strategy.offload_optimizer=true works only with DeepSpeed; with {self.name} use strategy.offload_param=true"
            )

    def presets(self) -> Iterator[Strategy]:
        """The strategy with its state on the GPUs, and with its state in host memory."""
        yield self
        yield dataclasses.replace(self, name=f"{self.name}_offload", offload_param=True)

    def config(self) -> StrategyConfig:
        """The settings of any strategy, and which ranks load the model."""
        return dataclasses.replace(
            Strategy.config(self), cpu_ram_efficient_loading=None if self.cpu_ram_efficient_loading else False
        )

    def degrees(self, config: StrategyConfig, world_size: int) -> Degrees:
        """Neighbouring ranks share one of dp_replicate_size copies of the sharded state, those that share a sequence too."""
        copies, sequence = config.dp_replicate_size, config.sequence_parallel_size
        groups = sequence_groups(world_size, sequence)
        check_divisor("dp_replicate_size", copies, groups, world_size)
        return Degrees(dp_replicate=copies, dp_shard=groups // copies, sequence=sequence)

    def choices(self, config: StrategyConfig, world_size: int, gpus_per_node: int) -> Iterator[Degrees]:
        """A copy on each node of several, if the configuration does not set their number, and then what it sets."""
        nodes, shared = world_size // gpus_per_node, config.sequence_parallel_size
        if config.dp_replicate_size == 1 and nodes > 1 and gpus_per_node > 1 and gpus_per_node % shared == 0:
            yield self.degrees(dataclasses.replace(config, dp_replicate_size=nodes), world_size)
        yield self.degrees(config, world_size)

    def config_on(self, degrees: Degrees) -> StrategyConfig:
        """The settings of the strategy with the number of copies."""
        return dataclasses.replace(self.config(), dp_replicate_size=degrees.dp_replicate)

    def acting(self, degrees: Degrees) -> Strategy:
        """The strategy itself; plain data parallelism on one rank, where nothing is sharded."""
        return self if degrees.shard_size > 1 else Strategy(name=self.name, engine=self.engine)

    def files(self, job: StrategyInputs) -> Files:
        """accelerate.yaml and the trainer's fsdp_config with equal values; accelerate's name of `cpu_offload` is
        `offload_params`."""
        fsdp: dict[str, Any] = {
            "version": 2,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "reshard_after_forward": True,
            "state_dict_type": "SHARDED_STATE_DICT",
            "cpu_offload": self.offload_param,
            "cpu_ram_efficient_loading": self.cpu_ram_efficient_loading,
        }
        options = {"offload_params" if key == "cpu_offload" else key: value for key, value in fsdp.items()}
        return Files(
            accelerate=self._accelerate(
                job,
                mixed_precision=job.mixed_precision,
                distributed_type="FSDP",
                fsdp_config={f"fsdp_{key}": value for key, value in options.items()},
                **_parallelism(job.degrees),
            ),
            trainer_args={
                "fsdp": True,
                "fsdp_config": fsdp,
                **({"ddp_backend": _BOTH} if self.offload_param else {}),
            },
        )

    def averaged_over(self, degrees: Degrees) -> int:
        """The ranks that shard times those that replicate: gradients are averaged over both. Source: torch's fully_shard."""
        return degrees.dp_replicate * degrees.shard_size

    def shard(self, tensors: Tensors, degrees: Degrees) -> int:
        """The rank's share of every tensor's rows. Source: torch's fully_shard (Shard(0))."""
        ranks = degrees.shard_size
        return sum(-(-dims[0] // ranks) * size_of(dims[1:]) * count for dims, count in tensors)

    def gradient_bytes(self, load: Trained) -> float:
        """Bytes of the rank's share; 0 if offloaded."""
        return (
            0 if self.offload_param else self.shard(load.trained_tensors, load.degrees) * load.gradient_width
        )

    def carried_bytes(self, load: Trained) -> float:
        """Bytes of whole gradients in the forward pass's format: those of gathered weights, which are bf16.

        Source: torch's fully_shard, FSDPParam.unsharded_accumulated_grad; accelerate 1.15's no_sync.
        """
        return load.trained * self._width(load) if load.accumulation > 1 else 0

    def held_head_bytes(self, load: Trained) -> float:
        """Bytes of the gathered head's gradient if it is kept until the embedding's is computed (tied weights)."""
        return load.table * self._width(load) if load.tied else 0

    def embedding_bytes(self, load: Trained) -> float:
        """Bytes of the gathered embedding's gradient and, with tied weights, of the head's, which was kept."""
        return load.table * self._width(load) * (2 if load.tied else 1)

    def buffer_bytes(self, load: Trained, units: Units, moment: Moment) -> float:
        """Bytes of the gathered head, which is not resharded between the passes, and of the current block and the next with
        their gradients. A model that predicts no tokens has no such head; its embedding is gathered at its own backward pass.
        What was gathered is copied into place, and its flat copy lives until the next one is in place: the embedding's until
        the first block's.

        Source: torch 2.13's fully_shard (_fsdp_param_group.py, wait_for_unshard); accelerate 1.15's fsdp_utils.py.
        """
        if moment is Moment.STEP:
            return 0
        if moment is Moment.BEGIN:
            return 2 * (units.head + units.block)
        head = 0 if load.scores and moment not in (Moment.LAST_BLOCK, Moment.EMBEDDING) else units.head
        blocks = 2 if moment.in_blocks else 1
        gradients = 2 * units.block if moment.in_blocks and load.adapter is None else 0
        return head + blocks * units.block + gradients

    def _width(self, load: Trained) -> int:
        """Bytes of a gathered trained weight and of its gradient. Adapters over 4-bit weights are not cast."""
        return min(load.width, load.trained_width)

    def communication_bytes(self, load: Trained, weights: float) -> float:
        """Bytes of the weights, sent twice per forward and backward pass (three times with checkpointing), and gradients, once.

        Source: ZeRO (arXiv 1910.02054), section 7.2.2; accelerate 1.15 on accumulation.
        """
        return sum(part.bytes for part in self.sent(load, weights))

    def sent(self, load: Trained, weights: float) -> tuple[Traffic, ...]:
        """Weights and gradients within the ranks of a copy; then the rank's share of the gradients, twice, over the copies.

        Source: torch 2.13's fully_shard (_fsdp_collectives.py, foreach_reduce); PyTorch FSDP (arXiv 2304.11277), section 3.2.2.
        """
        degrees = load.degrees
        gathers = (3 if load.checkpointing else 2) * load.accumulation
        gradients = load.trained * load.width
        within = Traffic(
            bytes=share_sent(degrees.shard_size) * (weights * gathers + gradients),
            span=self.gathering_span(degrees),
        )
        if degrees.dp_replicate == 1:
            return (within,)
        share = gradients / degrees.shard_size
        over = Traffic(
            bytes=2 * share_sent(degrees.dp_replicate) * share,
            span=degrees.world_size,
            rings=degrees.shard_size,
        )
        return (within, over)

    def gathering_span(self, degrees: Degrees) -> int:
        """The ranks of one copy."""
        return degrees.world_size // degrees.dp_replicate


def _parallelism(degrees: Degrees) -> dict[str, Any]:
    """accelerate's parallelism_config, if the state has copies; `accelerate launch` knows its keys with this prefix."""
    if degrees.dp_replicate == 1:
        return {}
    sizes = {"dp_replicate_size": degrees.dp_replicate, "dp_shard_size": degrees.shard_size}
    return {"parallelism_config": {f"parallelism_config_{key}": size for key, size in sizes.items()}}


SPEC = Fsdp2(name="fsdp2", engine="fsdp2", cpu_ram_efficient_loading=True)
