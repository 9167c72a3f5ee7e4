"""What DeepSpeed's three ZeRO stages have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from launcher.config import StrategyConfig
from launcher.errors import PlanError
from launcher.strategies._deepspeed_keys import check_passed, merged
from launcher.strategies.base import Strategy, Tensors
from launcher.strategies.degrees import Degrees, sequence_groups
from launcher.strategies.files import Files, StrategyInputs
from launcher.strategies.trained import Moment, Trained, Units, share_sent, size_of

ENGINE = "deepspeed"
BUCKET = 500_000_000
"""Elements of the buckets in which DeepSpeed reduces gradients, unless fewer are trained: DeepSpeed's own default."""


ON_HOST = ("sgd", "rmsprop", "adagrad")
"""Optimizers (trainer.optim) of torch that also work in host memory, element by element, so that shards do not matter."""
DEEPSPEED_HAS = ("adamw_torch", "adamw_torch_fused", "paged_adamw_32bit", "lion_32bit", "paged_lion_32bit")
"""Optimizers that DeepSpeed implements with the same update rule; accelerate uses these when state is offloaded."""


class Zero(Strategy):
    """A ZeRO stage of DeepSpeed. Source: Rajbhandari et al., ZeRO (arXiv 1910.02054)."""

    __slots__ = ()
    on_rank: ClassVar[str] = "launcher.train.strategies.deepspeed"
    imports: ClassVar[tuple[str, ...]] = ("deepspeed",)
    replicates: ClassVar[bool] = False
    casts: ClassVar[Literal["operation", "unit", "module"]] = "module"
    flat_copy: ClassVar[bool] = True
    compiles: ClassVar[bool] = False
    offloads_four_bit: ClassVar[bool] = False
    writes_deepspeed: ClassVar[bool] = True

    def degrees(self, config: StrategyConfig, world_size: int) -> Degrees:
        """All ranks share one copy of the sharded state, those that share a sequence too."""
        sequence = config.sequence_parallel_size
        return Degrees(dp_shard=sequence_groups(world_size, sequence), sequence=sequence)

    def files(self, job: StrategyInputs) -> Files:
        """accelerate.yaml, which points to deepspeed.json, and deepspeed.json. Only the latter has batch, stage and precision,
        because accelerate refuses a second value. DeepSpeed's multi-node launcher is `standard`; accelerate's default is pdsh
        over ssh. The global batch is left out where ranks share a sequence, which DeepSpeed would count once for each rank."""
        return Files(
            accelerate=self._accelerate(
                job,
                distributed_type="DEEPSPEED",
                deepspeed_config={
                    "deepspeed_config_file": "deepspeed.json",
                    "deepspeed_multinode_launcher": "standard",
                    "zero3_init_flag": self.loads_shards,
                },
            ),
            deepspeed={
                **({"train_batch_size": job.global_batch_size} if job.degrees.sequence == 1 else {}),
                "train_micro_batch_size_per_gpu": job.micro_batch_size,
                "gradient_accumulation_steps": job.gradient_accumulation_steps,
                "gradient_clipping": job.max_grad_norm,
                "bf16": {"enabled": job.mixed_precision == "bf16"},
                "zero_optimization": self.zero_optimization(job),
                "zero_allow_untested_optimizer": True,
                **({"zero_force_ds_cpu_optimizer": False} if self.keeps_optimizer(job.optim) else {}),
                "steps_per_print": 1_000_000_000,
                "wall_clock_breakdown": False,
            },
        )

    def keeps_optimizer(self, optim: str) -> bool:
        """Whether torch's own optimizer computes on the host. For any but AdamW and Lion, accelerate 1.15 would silently
        use DeepSpeed's CPU Adam with L2 regularization instead. Source: accelerate's map_pytorch_optim_to_deepspeed."""
        return self.offload_optimizer and optim in ON_HOST

    def offloads_optimizer(self, optim: str) -> bool:
        """Whether DeepSpeed has this optimizer for the host, or torch's own works there."""
        return optim in (*DEEPSPEED_HAS, *ON_HOST)

    def operators(self, optim: str) -> tuple[str, ...]:
        """The operator with which the host computes an offloaded optimizer. Source: accelerate's
        map_pytorch_optim_to_deepspeed; DeepSpeed's op_builder."""
        if not self.offload_optimizer or optim in ON_HOST:
            return ()
        return ("cpu_lion",) if "lion" in optim else ("cpu_adam",)

    def zero_optimization(self, job: StrategyInputs) -> dict[str, Any]:
        """The section zero_optimization of deepspeed.json, with sizes in elements. Source: DeepSpeed's page "DeepSpeed
        Configuration JSON"."""
        zero: dict[str, Any] = {
            "stage": self.zero_stage,
            "overlap_comm": job.overlap_comm is not False,
            "contiguous_gradients": True,
            "reduce_bucket_size": BUCKET,
        }
        for name, requested in (
            ("offload_optimizer", self.offload_optimizer),
            ("offload_param", self.offload_param),
        ):
            if requested:
                zero[name] = {"device": "cpu", "pin_memory": job.pin_memory}
        return zero

    def _check_deepspeed(self, config: StrategyConfig) -> None:
        offloads = {"offload_optimizer": config.offload_optimizer, "offload_param": config.offload_param}
        check_passed(config.deepspeed, offloads)

    def merged(self, deepspeed: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
        """deepspeed.json with the keys of strategy.deepspeed instead of its own."""
        return merged(deepspeed, given)

    def sized(self, deepspeed: Mapping[str, Any], trained: int | None) -> Mapping[str, Any]:
        """deepspeed.json with gradient buckets no larger than the trained parameters, since DeepSpeed allocates whole buckets.

        A size that a plugin has set is kept. Source: DeepSpeed 0.19.8, stage_1_and_2.py (setup_buckets), stage3.py
        (ipg_buckets).
        """
        zero = deepspeed["zero_optimization"]
        if trained is None or zero.get("reduce_bucket_size") != BUCKET:
            return deepspeed
        return {**deepspeed, "zero_optimization": {**zero, "reduce_bucket_size": bucket_size(trained)}}

    def bucket(self, deepspeed: Mapping[str, Any] | None) -> int | None:
        """reduce_bucket_size if a plugin has set it; None if it is DeepSpeed's default, which `sized` reduces."""
        size = (deepspeed or {}).get("zero_optimization", {}).get("reduce_bucket_size", BUCKET)
        return size if isinstance(size, int) and size != BUCKET else None

    def shard(self, tensors: Tensors, degrees: Degrees) -> int:
        """The rank's share of one flat tensor, as stages 1 and 2 shard. Source: DeepSpeed 0.19.8, stage_1_and_2.py."""
        return -(-sum(size_of(dims) * count for dims, count in tensors) // degrees.shard_size)

    def gradient_bytes(self, load: Trained) -> float:
        """Bytes of the rank's share, also in stage 1, since DeepSpeed frees what it has reduced; 0 if the optimizer is
        offloaded, except in stage 1. Source: DeepSpeed 0.19.8, stage_1_and_2.py."""
        if self.offload_param or (self.offload_optimizer and self.zero_stage > 1):
            return 0
        return self.shard(load.trained_tensors, load.degrees) * load.gradient_width

    def carried_bytes(self, load: Trained) -> float:
        """Bytes of the rank's share, to which each backward pass adds. Source: DeepSpeed 0.19.8, stage_1_and_2.py."""
        return self.gradient_bytes(load) if load.accumulation > 1 else 0

    def held_head_bytes(self, load: Trained) -> float:
        """Bytes of the head's gradient if it is kept until the embedding's is computed (tied weights); 0 otherwise."""
        return load.table * load.width if load.tied else 0

    def embedding_bytes(self, load: Trained) -> float:
        """Bytes of the embedding's gradient and, with tied weights, of the head's, which was kept. A gradient larger than a
        bucket is flattened and copied before it is reduced; a smaller one can meet the copy of the bucket that it no longer
        fits into. Source: DeepSpeed 0.19.8, stage_1_and_2.py."""
        copies = 3 if self.zero_stage == 2 and load.accumulation == 1 else 4  # the last one is the kept sum
        if self.zero_stage == 3 or load.table <= bucket_elements(load):
            copies = 1
        kept = load.table * load.width * max(copies, 2 if load.tied else 1)
        if self.zero_stage == 3:
            return kept
        return max(kept, load.table * load.width + reduced_bytes(load))

    def buffer_bytes(self, load: Trained, units: Units, moment: Moment) -> float:
        """Bytes of two gradient buckets of reduce_bucket_size, from the step's first gradient to the optimizer, and of the
        copy of one that is reduced while blocks still get gradients.

        Source: DeepSpeed 0.19.8, stage_1_and_2.py. Lifetimes on a fake CUDA device, no kernels.
        """
        if (
            moment is Moment.STEP
            or moment.between_steps
            or (moment.before_backward and load.accumulation == 1)
        ):
            return 0
        full = moment is Moment.LAST_BLOCK and load.trained - load.table >= bucket_elements(load)
        return 2 * bucket_elements(load) * load.width + (reduced_bytes(load) if full else 0)

    def step_bytes(self, load: Trained, elements: int, foreach: bool) -> float:
        """Bytes of the fp32 gradients that DeepSpeed makes of the rank's shard, and of the optimizer's own temporary values."""
        return (8 if foreach else 4) * elements

    def communication_bytes(self, load: Trained, weights: float) -> float:
        """Bytes of the gradients and the new weights, each sent once. Source: ZeRO (arXiv 1910.02054), section 7.2.1."""
        gradients = load.trained * load.trained_width
        return share_sent(load.degrees.shard_size) * (gradients + load.trained * load.width)


def reduced_bytes(load: Trained) -> float:
    """Bytes of the copy that DeepSpeed makes of a bucket to reduce it; the embedding's gradient is not in one.

    Source: DeepSpeed 0.19.8, stage_1_and_2.py (allreduce_bucket).
    """
    return max(0, min(load.trained - load.table, bucket_elements(load))) * load.width


def bucket_elements(load: Trained) -> int:
    """Elements of a gradient bucket under this load."""
    return bucket_size(load.trained) if load.bucket is None else load.bucket


def bucket_size(trained: int | None) -> int:
    """Elements of a gradient bucket for this number of trained parameters."""
    return BUCKET if trained is None else max(1_000, min(BUCKET, trained))


def check_offload(config: StrategyConfig, stage: int) -> None:
    """PlanError for offloaded weights with a stage that does not shard them."""
    if config.offload_param:
        raise PlanError(
            f"strategy.offload_param=true needs strategy.zero_stage=3, not {stage}: only stage 3 shards weights"
        )
