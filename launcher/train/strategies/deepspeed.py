"""DeepSpeed's ZeRO on a rank: operators, process group, and flat fp32 shards."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from launcher.plan import LaunchPlan
from launcher.train.checkpoint.shards import Shard, clean, zeros
from launcher.train.strategies.base import OnRank, library
from launcher.train.upstream.deepspeed_zero_partitions import fragment_of, publish_stage3


class DeepSpeedOnRank(OnRank):
    """ZeRO stages 1 to 3. Source: DeepSpeed 0.19.8, stage_1_and_2.py and stage3.py."""

    def after_ranks_met(self, plan: LaunchPlan) -> None:
        """Builds operators; starts DeepSpeed's process group on CPU ranks."""
        from launcher.train.upstream.torch_build_locks import build_operators

        build_operators(plan)
        if plan.device == "cpu":
            from launcher.train.upstream.accelerate_deepspeed_on_cpu import init_deepspeed_on_cpu

            init_deepspeed_on_cpu()

    def found(self, trainer: Any, plan: LaunchPlan) -> dict[str, Any]:
        """The library and the ZeRO stage in the file that DeepSpeed has read."""
        plugin = trainer.accelerator.state.deepspeed_plugin if trainer.is_deepspeed_enabled else None
        stage = plugin.hf_ds_config.config["zero_optimization"]["stage"] if plugin else 0
        return {"engine": library(trainer), "zero_stage": stage}

    def prepare_frozen(self, model: Any, trainer: Any, plan: LaunchPlan) -> Any:
        """An engine of its own under ZeRO-3, whose hooks gather the weights; a plain model in the other stages."""
        if not plan.strategy.shards_weights:
            return super().prepare_frozen(model, trainer, plan)
        from trl.models.utils import prepare_deepspeed

        return prepare_deepspeed(model, trainer.accelerator)

    def found_degrees(self, trainer: Any) -> dict[str, int]:
        """The ranks of a second copy of the weights in the file that DeepSpeed has read."""
        plugin = trainer.accelerator.state.deepspeed_plugin if trainer.is_deepspeed_enabled else None
        zero = plugin.hf_ds_config.config["zero_optimization"] if plugin else {}
        return {"hpz": zero.get("zero_hpz_partition_size", 1)}

    def forward_model(self, trainer: Any, model: Any) -> Any:
        """DeepSpeed's engine, whose hooks gather the weights."""
        return trainer.model_wrapped

    def settle(self, trainer: Any) -> None:
        """Waits for weights that ZeRO-3 has begun to gather for a next module, and frees them. DeepSpeed 0.19.8 stops with
        "Cannot partition a param in flight" if such a weight is gathered again."""
        if _is_stage3(trainer.model_wrapped.optimizer):
            trainer.model_wrapped.empty_partition_cache()

    def whole(self, parameter: Any) -> AbstractContextManager[torch.Tensor]:
        """The gathered parameter of ZeRO-3."""
        return _gathered(parameter) if hasattr(parameter, "ds_id") else super().whole(parameter)

    def shards(self, trainer: Any) -> Iterator[Shard]:
        """Ranges of this rank's flat fp32 partitions."""
        engine = trainer.model_wrapped
        return _stage3(engine) if engine.zero_optimization_partition_weights() else _stage12(engine)

    def prepare_state(self, trainer: Any) -> None:
        """Creates zeroed state in which every flat tensor has its own step. DeepSpeed 0.19.8 shares one among its groups after
        a universal load, and then advances it twice per step."""
        zero = trainer.model_wrapped.optimizer
        for partition in (
            zero.fp32_partitioned_groups_flat if _is_stage3(zero) else zero.single_partition_of_fp32_groups
        ):
            zeros(zero.optimizer.state[partition], partition, zero.optimizer)

    def publish(self, trainer: Any) -> None:
        """Copies restored fp32 weights to the bf16 weights and, in stages 1 and 2, to the other ranks."""
        zero = trainer.model_wrapped.optimizer
        if _is_stage3(zero):
            for group in range(len(zero.fp32_partitioned_groups_flat)):
                publish_stage3(zero, group)
            if zero.persistent_parameters:
                zero.persistent_parameters[0].partition(zero.persistent_parameters)
                zero.persistent_parameters[0].all_gather(zero.persistent_parameters)
            # the second copies (strategy.hpz_size) hold the weights from before, and DeepSpeed makes new ones only after a step
            zero.invalidate_secondary_tensor()
            return
        for index, partition in enumerate(zero.single_partition_of_fp32_groups):
            group = zero.real_dp_process_group[index]
            parts = zero.parallel_partitioned_bit16_groups[index]
            own = parts[torch.distributed.get_rank(group=group)]
            own.data.copy_(partition.data)
            whole = [torch.empty_like(own) for _ in parts]
            torch.distributed.all_gather(whole, own.data, group=group)
            for part, gathered in zip(parts, whole, strict=True):
                part.data.copy_(gathered)

    def go_on_from(self, trainer: Any, step: int, samples: int) -> None:
        """Sets DeepSpeed's own counters of steps and samples."""
        engine = trainer.model_wrapped
        engine.global_steps, engine.global_samples = step, samples


@contextmanager
def _gathered(parameter: Any) -> Iterator[torch.Tensor]:
    import deepspeed

    with deepspeed.zero.GatheredParameters([parameter]):
        yield parameter.data


def _is_stage3(zero: Any) -> bool:
    return hasattr(zero, "fp32_partitioned_groups_flat")


def _stage12(engine: Any) -> Iterator[Shard]:
    """This rank's ranges in stages 1 and 2, which shard all parameters of a group as one flat tensor."""
    zero = engine.optimizer
    names = {id(parameter): clean(name) for name, parameter in engine.module.named_parameters()}
    for group, partition in zip(zero.bit16_groups, zero.single_partition_of_fp32_groups, strict=True):
        for parameter in group:
            mapping = fragment_of(parameter)
            if mapping is None:
                continue
            at, run = mapping.hp_fragment_address.start, mapping.lp_fragment_address
            yield Shard(
                name=names[id(parameter)],
                shape=list(parameter.shape),
                start=run.start,
                weight=partition.data.narrow(0, at, run.numel),
                state=zero.optimizer.state[partition],
                offset=at,
            )


def _stage3(engine: Any) -> Iterator[Shard]:
    """This rank's ranges in stage 3, which shards every parameter into equal ranges and pads the last."""
    zero = engine.optimizer
    rank = torch.distributed.get_rank(group=zero.dp_process_group)
    for name, parameter in engine.module.named_parameters():
        if not parameter.requires_grad:
            continue
        group, at, size = zero.grad_position[zero.get_param_id(parameter)]
        partition = zero.fp32_partitioned_groups_flat[group]
        start = rank * size
        numel = max(0, min(size, parameter.ds_numel - start))
        if numel:
            yield Shard(
                name=clean(name),
                shape=list(parameter.ds_shape),
                start=start,
                weight=partition.data.narrow(0, at, numel),
                state=zero.optimizer.state[partition],
                offset=at,
            )


ON_RANK = DeepSpeedOnRank()
