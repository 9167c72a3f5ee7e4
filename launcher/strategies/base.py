"""The spec of a strategy. This base class is plain data parallelism: every rank holds the whole training state."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from launcher.config import StrategyConfig
from launcher.errors import PlanError
from launcher.strategies.degrees import Degrees, sequence_groups
from launcher.strategies.files import Files, StrategyInputs
from launcher.strategies.settings import check_copies, check_loading
from launcher.strategies.trained import Moment, Traffic, Trained, Units, share_sent, size_of

Tensors = Iterable[tuple[tuple[int, ...], int]]
"""(shape, number of tensors with it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How the training state is distributed over the ranks. plan.json holds its fields.

    A module of this or another package holds an instance with the usual settings as SPEC. A subclass overrides what differs
    under its strategy.
    """

    name: str
    """Its name for users; conf/strategy has a file of that name for each shipped strategy."""
    engine: str
    """The value of strategy.engine: its own name, or the library that several strategies share."""
    zero_stage: int = 0
    """DeepSpeed's ZeRO stage, which distinguishes strategies that share an engine; 0 with other engines."""
    offload_optimizer: bool = False
    """Whether optimizer state is kept in host memory."""
    offload_param: bool = False
    """Whether weights are kept in host memory."""

    cpu_ram_efficient_loading: bool = False
    """Whether one rank of each node loads the whole model and the others get their shares from rank 0."""

    order: ClassVar[int | None] = None
    """Position among the candidates of strategy=auto and of the alternatives, least sharding first; None excludes it."""
    on_rank: ClassVar[str] = "launcher.train.strategies.base"
    """The module whose ON_RANK (an OnRank of launcher.train.strategies.base) sets it up on a rank and reads its state."""
    imports: ClassVar[tuple[str, ...]] = ()
    """Modules besides the training stack that a rank needs; they are imported before it starts."""

    replicates: ClassVar[bool] = True
    """Whether every rank holds all weights, gradients and optimizer state."""
    shards_weights: ClassVar[bool] = False
    """Whether no rank holds the whole model."""
    casts: ClassVar[Literal["operation", "unit", "module"]] = "operation"
    """What is cast to bf16 at once: the inputs of each operation (torch's autocast), a block of layers when its weights are
    gathered, or the whole module before training."""
    flat_copy: ClassVar[bool] = False
    """Whether the optimizer works on a flat fp32 copy of the rank's shard, in addition to the weights."""
    dtensors: ClassVar[bool] = False
    """Whether sharded parameters are torch DTensors."""
    gathers_by_module: ClassVar[bool] = False
    """Whether weights are gathered, in one number format, only while the module that owns them runs."""
    gathers_to_generate: ClassVar[bool] = False
    """Whether the whole model is gathered once while answers are generated; otherwise shards are gathered for each token."""
    loads_shards: ClassVar[bool] = False
    """Whether a rank loads only its own share of the weights."""
    four_bit_on_host: ClassVar[bool] = False
    """Whether 4-bit weights are loaded to host memory first, since they are sharded from there."""
    compiles: ClassVar[bool] = True
    """Whether torch.compile works with it."""
    offloads_four_bit: ClassVar[bool] = True
    """Whether 4-bit weights can be offloaded."""
    writes_deepspeed: ClassVar[bool] = False
    """Whether it has a deepspeed.json, into which strategy.deepspeed goes."""
    offloads_on_cpu: ClassVar[bool] = True
    """Whether offloading works on CPU ranks."""
    copies: ClassVar[bool] = False
    """Whether the sharded state can have several copies (strategy.dp_replicate_size)."""
    second_copy: ClassVar[bool] = False
    """Whether a second copy of the weights can be kept (strategy.hpz_size)."""

    @property
    def offloads(self) -> bool:
        """Whether anything is kept in host memory."""
        return self.offload_optimizer or self.offload_param

    def configured(self, config: StrategyConfig) -> Strategy:
        """The strategy with the configured settings; PlanError for settings that exclude each other."""
        self.check(config)
        self._check_deepspeed(config)
        effect = self.cpu_ram_efficient_loading
        check_loading(config, self.name, has_effect=effect, loads_shards=self.loads_shards)
        check_copies(config, self.name, copies=self.copies, second_copy=self.second_copy)
        offload = "_offload" if config.offload_optimizer or config.offload_param else ""
        return dataclasses.replace(
            self,
            name=f"{self.name}{offload}",
            offload_optimizer=config.offload_optimizer,
            offload_param=config.offload_param,
            cpu_ram_efficient_loading=self.cpu_ram_efficient_loading
            and config.cpu_ram_efficient_loading is not False,
        )

    def check(self, config: StrategyConfig) -> None:
        """PlanError for settings that exclude each other."""
        if config.offload_optimizer or config.offload_param:
            raise PlanError(
                f"strategy.offload_*=true has no effect with strategy={self.name}; use strategy=zero3_offload"
            )

    def _check_deepspeed(self, config: StrategyConfig) -> None:
        if self.writes_deepspeed or (config.overlap_comm is None and not config.deepspeed):
            return
        key = "deepspeed" if config.deepspeed else "overlap_comm"
        raise PlanError(
            f"strategy.{key}={getattr(config, key)} is for DeepSpeed, which strategy={self.name} does not use; use "
            "strategy=zero2 or zero3, or take it out"
        )

    def takes(self, config: StrategyConfig) -> bool:
        """Whether the settings that only some strategies have work with this one."""
        for_deepspeed = bool(config.deepspeed) or config.overlap_comm is not None
        return (
            (self.writes_deepspeed or not for_deepspeed)
            and (self.cpu_ram_efficient_loading or not config.cpu_ram_efficient_loading)
            and (self.copies or config.dp_replicate_size == 1)
            and (self.second_copy or config.hpz_size == 1)
        )

    def offloads_optimizer(self, optim: str) -> bool:
        """Whether this optimizer (trainer.optim) computes in host memory if its state is kept there."""
        return True

    def operators(self, optim: str) -> tuple[str, ...]:
        """Operators that are compiled on the node when the run with this optimizer (trainer.optim) starts."""
        return ()

    def merged(self, deepspeed: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
        """deepspeed.json with the keys of strategy.deepspeed instead of its own."""
        return deepspeed

    def config(self) -> StrategyConfig:
        """The settings from which `make_strategy` makes this strategy again."""
        return StrategyConfig(
            engine=self.engine,
            zero_stage=self.zero_stage,
            offload_optimizer=self.offload_optimizer,
            offload_param=self.offload_param,
        )

    def presets(self) -> Iterator[Strategy]:
        """The settings of it that strategy=auto and the alternatives try."""
        yield self

    def degrees(self, config: StrategyConfig, world_size: int) -> Degrees:
        """The degrees on `world_size` ranks; PlanError if they do not divide that number."""
        sequence = config.sequence_parallel_size
        return Degrees(dp_replicate=sequence_groups(world_size, sequence), sequence=sequence)

    def choices(self, config: StrategyConfig, world_size: int, gpus_per_node: int) -> Iterator[Degrees]:
        """The degrees that strategy=auto tries: those of the configuration, and others that it leaves open."""
        yield self.degrees(config, world_size)

    def config_on(self, degrees: Degrees) -> StrategyConfig:
        """The settings from which this strategy and these degrees are made again."""
        return self.config()

    def acting(self, degrees: Degrees) -> Strategy:
        """The strategy that takes effect with these degrees; a library can do nothing if there is nothing to shard."""
        return self

    def worthwhile(self, degrees: Degrees) -> bool:
        """Whether it can be better than plain data parallelism with these degrees."""
        return self.replicates or self.offloads or degrees.world_size > 1

    def files(self, job: StrategyInputs) -> Files:
        """The settings for accelerate, DeepSpeed and the trainer."""
        several = job.degrees.world_size > 1
        return Files(
            accelerate=self._accelerate(
                job,
                mixed_precision=job.mixed_precision,
                distributed_type="MULTI_GPU" if several else "NO",
            )
        )

    def sized(self, deepspeed: Mapping[str, Any], trained: int | None) -> Mapping[str, Any]:
        """deepspeed.json for a known number of trained parameters."""
        return deepspeed

    def bucket(self, deepspeed: Mapping[str, Any] | None) -> int | None:
        """Elements of a gradient bucket if a plugin has set them in deepspeed.json, else None."""
        return None

    def averaged_over(self, degrees: Degrees) -> int:
        """The number by which the sum of all ranks' gradients is divided. A loss that is already divided by a count over the
        whole batch is multiplied by it. Ranks that share a sequence count like any others: the libraries are not told of it.

        Source: torch's DistributedDataParallel, which averages over its process group.
        """
        return degrees.world_size

    def shard(self, tensors: Tensors, degrees: Degrees) -> int:
        """Elements of these tensors on the first rank after sharding."""
        return sum(size_of(dims) * count for dims, count in tensors)

    def gradient_bytes(self, load: Trained) -> float:
        """Bytes of gradients on one GPU at the start of the optimizer's step."""
        return load.trained * load.gradient_width

    def carried_bytes(self, load: Trained) -> float:
        """Bytes of the gradients that one micro-step keeps for the next micro-step of the same step."""
        return load.trained * load.gradient_width if load.accumulation > 1 else 0

    def gradient_bytes_at(self, load: Trained, moment: Moment) -> float:
        """Bytes of gradients at that moment, excluding those of the head and of the embedding while they are computed."""
        if moment is Moment.STEP:
            return self.gradient_bytes(load)
        if moment.between_steps:
            return 0
        carried = self.carried_bytes(load)
        if moment.before_gradients:
            return carried
        made = self.gradient_bytes(load)
        if (
            moment is Moment.LAST_BLOCK
        ):  # held_head_bytes counts the head's gradient, and the embedding's is computed later
            tables = load.trains_embedding + (load.trains_head and not load.tied)
            made *= 1 - tables * load.table / load.trained
        return max(carried, made)

    def held_head_bytes(self, load: Trained) -> float:
        """Bytes of the trained head's gradient during the backward passes of the blocks. With tied weights it is kept until the
        embedding's gradient is computed. Source: torch's autograd/input_buffer.cpp."""
        return load.table * load.gradient_width if load.tied or load.accumulation == 1 else 0

    def embedding_bytes(self, load: Trained) -> float:
        """Bytes of the embedding's gradient in excess of the kept gradients: 0 if it becomes the kept one."""
        return load.table * load.gradient_width if load.tied or load.accumulation > 1 else 0

    def buffer_bytes(self, load: Trained, units: Units, moment: Moment) -> float:
        """Bytes of buffers at that moment.

        DistributedDataParallel copies gradients into separate buckets, which it keeps. Source: torch's
        gradient_as_bucket_view. Without checkpointing, autograd keeps autocast's copies of all weights. With it, all
        copies exist only in the forward pass, and the backward pass makes those of one block at a time again.
        """
        buckets = load.trained * load.trained_width if load.degrees.world_size > 1 else 0
        casts = 2 * load.linear if load.autocast and load.adapter is None else 0
        if moment in (Moment.EMBEDDING, Moment.STEP) or (load.checkpointing and moment is Moment.HEAD):
            casts = 0
        elif moment is Moment.LAST_BLOCK or (load.checkpointing and moment is Moment.FIRST_BLOCK):
            casts /= load.layers
        return buckets + casts

    def step_bytes(self, load: Trained, elements: int, foreach: bool) -> float:
        """Temporary bytes of the optimizer's step. `elements`: trained parameters on this rank; `foreach`: whether it
        makes one more value for each of them, in its format."""
        return load.trained_width * elements if foreach else 0

    def communication_bytes(self, load: Trained, weights: float) -> float:
        """Bytes that one GPU sends in a step. `weights`: bytes of the whole model in the forward pass's format.

        An all-reduce of the gradients sends twice their size. Source: ZeRO (arXiv 1910.02054), section 7.1.
        """
        return 2 * share_sent(load.degrees.world_size) * load.trained * load.trained_width

    def sent(self, load: Trained, weights: float) -> tuple[Traffic, ...]:
        """What `communication_bytes` counts, by the groups of ranks in which it is sent."""
        return (Traffic(bytes=self.communication_bytes(load, weights), span=load.degrees.world_size),)

    def gathering_span(self, degrees: Degrees) -> int:
        """Neighbouring ranks among which weights are gathered, outside of a training step too."""
        return degrees.world_size

    def _accelerate(self, job: StrategyInputs, **more: Any) -> dict[str, Any]:
        """The content of accelerate.yaml, with which `accelerate launch --config_file` would start the same ranks.

        num_processes counts all nodes. CPU ranks too have distributed_type MULTI_GPU: with MULTI_CPU, accelerate 1.15 silently
        starts only one rank (the trainer's use_cpu keeps the ranks on the CPU).
        """
        return {
            "compute_environment": "LOCAL_MACHINE",
            "num_machines": job.nodes,
            "num_processes": job.degrees.world_size,
            "main_training_function": "main",
            "rdzv_backend": "static",
            "same_network": True,
            **more,
        }
