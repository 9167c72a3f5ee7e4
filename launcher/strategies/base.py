"""The spec of a strategy. As it stands here it is plain data parallelism: every rank holds the whole training state."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from launcher.config import StrategyConfig
from launcher.errors import PlanError
from launcher.strategies.degrees import Degrees
from launcher.strategies.trained import Trained

Tensors = Iterable[tuple[tuple[int, ...], int]]
"""(shape, how many tensors have it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the files of a strategy are made from."""

    nodes: int
    degrees: Degrees
    global_batch_size: int
    micro_batch_size: int
    gradient_accumulation_steps: int
    mixed_precision: str
    """bf16 or no."""
    max_grad_norm: float
    pin_memory: bool
    """Whether offloaded state is kept in pinned memory, which needs a GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What accelerate, DeepSpeed and the trainer are told."""

    accelerate: Mapping[str, Any]
    """The content of accelerate.yaml."""
    deepspeed: Mapping[str, Any] | None = None
    """The content of deepspeed.json; None where DeepSpeed is not used."""
    trainer_args: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    """Keyword arguments of transformers' TrainingArguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How the training state is spread over the ranks, as decided. plan.json has its fields.

    A module of this package, or of another one, holds an instance with the usual settings as SPEC. A subclass overrides
    what is different under its strategy.
    """

    name: str
    """What a person calls it; conf/strategy has a file of that name for each shipped one."""
    engine: str
    """What strategy.engine is set to: a name of its own, or the library that several strategies share."""
    zero_stage: int = 0
    """Which of the strategies that share an engine it is: DeepSpeed's ZeRO stage. 0 with other engines."""
    offload_optimizer: bool = False
    """Whether optimizer state is kept in host memory."""
    offload_param: bool = False
    """Whether weights are kept in host memory."""

    order: ClassVar[int | None] = None
    """The place among the candidates of strategy=auto and of the alternatives, the least sharding first; None leaves it out."""
    on_rank: ClassVar[str] = "launcher.train.strategies.base"
    """The module whose ON_RANK, an OnRank of launcher.train.strategies.base, sets it up on a rank and reads its state."""
    imports: ClassVar[tuple[str, ...]] = ()
    """Modules beside the training stack that a rank needs, which are imported before it starts."""

    replicates: ClassVar[bool] = True
    """Whether every rank holds all weights, gradients and optimizer state."""
    shards_weights: ClassVar[bool] = False
    """Whether no rank holds the whole model."""
    casts: ClassVar[Literal["operation", "unit", "module"]] = "operation"
    """What is cast to bf16 at once: the inputs of each operation (torch's autocast), a block of layers when its weights are
    gathered, or the whole module before training."""
    flat_copy: ClassVar[bool] = False
    """Whether the optimizer works on a flat fp32 copy of the rank's shard, beside the weights."""
    dtensors: ClassVar[bool] = False
    """Whether sharded parameters are torch DTensors."""
    gathers_by_module: ClassVar[bool] = False
    """Whether weights are there only while the module that owns them runs, gathered in one number format."""
    loads_shards: ClassVar[bool] = False
    """Whether a rank loads its own share of the weights alone."""
    four_bit_on_host: ClassVar[bool] = False
    """Whether 4-bit weights are loaded to host memory first, since they are sharded from there."""
    compiles: ClassVar[bool] = True
    """Whether torch.compile works with it."""
    offloads_four_bit: ClassVar[bool] = True
    """Whether 4-bit weights can be offloaded."""
    offloads_on_cpu: ClassVar[bool] = True
    """Whether offloading works on CPU ranks."""

    @property
    def offloads(self) -> bool:
        """Whether anything is kept in host memory."""
        return self.offload_optimizer or self.offload_param

    def configured(self, config: StrategyConfig) -> Strategy:
        """The strategy with the settings asked for; PlanError for settings that exclude each other."""
        self.check(config)
        offload = "_offload" if config.offload_optimizer or config.offload_param else ""
        return dataclasses.replace(
            self,
            name=f"{self.name}{offload}",
            offload_optimizer=config.offload_optimizer,
            offload_param=config.offload_param,
        )

    def check(self, config: StrategyConfig) -> None:
        """PlanError for settings that exclude each other."""
        if config.offload_optimizer or config.offload_param:
            raise PlanError(
                f"strategy.offload_*=true has no effect under {self.name}; use strategy=zero3_offload"
            )

    def config(self) -> StrategyConfig:
        """The settings that give this strategy again."""
        return StrategyConfig(
            engine=self.engine,
            zero_stage=self.zero_stage,
            offload_optimizer=self.offload_optimizer,
            offload_param=self.offload_param,
        )

    def presets(self) -> Iterator[Strategy]:
        """The settings of it that strategy=auto and the alternatives look at."""
        yield self

    def degrees(self, config: StrategyConfig, world_size: int) -> Degrees:
        """The degrees on so many ranks; PlanError where they do not divide them."""
        return Degrees(dp_replicate=world_size)

    def acting(self, degrees: Degrees) -> Strategy:
        """What in truth runs on so many ranks: a library may leave itself out where there is nothing to shard."""
        return self

    def worthwhile(self, degrees: Degrees) -> bool:
        """Whether it may be better than plain data parallelism on so many ranks."""
        return self.replicates or self.offloads or degrees.world_size > 1

    def files(self, job: Job) -> Files:
        """What accelerate, DeepSpeed and the trainer are told."""
        several = job.degrees.world_size > 1
        return Files(
            accelerate=self._accelerate(
                job,
                mixed_precision=job.mixed_precision,
                distributed_type="MULTI_GPU" if several else "NO",
            )
        )

    def sized(self, deepspeed: Mapping[str, Any], trained: int | None) -> Mapping[str, Any]:
        """deepspeed.json once it is known how many parameters are trained."""
        return deepspeed

    def bucket(self, deepspeed: Mapping[str, Any] | None) -> int | None:
        """Elements of a bucket in which gradients are reduced, where a plugin has set them in deepspeed.json; else None."""
        return None

    def averaged_over(self, degrees: Degrees) -> int:
        """By what the sum of all ranks' gradients is divided: a loss that is divided by a count of the whole batch is
        multiplied with it.

        Source: torch's DistributedDataParallel, which averages over its process group.
        """
        return degrees.world_size

    def shard(self, tensors: Tensors, degrees: Degrees) -> int:
        """Elements of these tensors that the first rank holds of what is sharded."""
        return sum(size_of(dims) * count for dims, count in tensors)

    def gradient_bytes(self, load: Trained) -> float:
        """Bytes of gradients on one GPU when the optimizer's step begins."""
        return load.trained * load.gradient_width

    def buffer_bytes(self, load: Trained, gathered: float) -> float:
        """Bytes of buffers at the peak of a backward pass. `gathered`: two blocks with their gradients, embedding and head.

        DistributedDataParallel copies gradients into buckets of their own. Source: torch's gradient_as_bucket_view.
        """
        casts = 2 * load.linear if load.autocast and load.adapter is None else 0
        return casts + (load.trained * load.trained_width if load.degrees.dp_replicate > 1 else 0)

    def step_bytes(self, load: Trained, elements: int, foreach: bool) -> float:
        """Bytes that the optimizer's step takes for a moment. `elements`: trained values on this rank; `foreach`: whether the
        optimizer makes one more fp32 value of each."""
        return 4 * elements if foreach else 0

    def communication_bytes(self, load: Trained, weights: float) -> float:
        """Bytes that one GPU sends in a step. `weights`: bytes of the whole model as the forward pass has it.

        An all-reduce of the gradients sends twice their size. Source: ZeRO (arXiv 1910.02054), section 7.1.
        """
        return 2 * share_sent(load.degrees.dp_replicate) * load.trained * load.trained_width

    def _accelerate(self, job: Job, **more: Any) -> dict[str, Any]:
        """accelerate.yaml: what `accelerate launch --config_file` needs for the same launch.

        num_processes counts all nodes. On CPU ranks distributed_type is MULTI_GPU as well: with MULTI_CPU, accelerate 1.15
        starts one rank without a word (the trainer's use_cpu keeps them on the CPU).
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


def share_sent(ranks: int) -> float:
    """The share of a tensor that each of so many ranks sends in a reduce-scatter or an all-gather."""
    return (ranks - 1) / ranks


def size_of(dims: tuple[int, ...]) -> int:
    """Elements of a tensor of that shape."""
    size = 1
    for dim in dims:
        size *= dim
    return size
