"""FSDP2 on a rank: parameters are DTensors that are sharded along their first dimension."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from launcher.errors import CheckpointError
from launcher.plan import LaunchPlan
from launcher.train.checkpoint.shards import Shard, flat, local
from launcher.train.strategies.base import OnRank, library
from launcher.train.upstream.torch_dtensor_offset import offset_of
from launcher.train.upstream.transformers_model_facts import block_names


class Fsdp2OnRank(OnRank):
    """torch's fully_shard through accelerate."""

    def arguments(self, plan: LaunchPlan) -> dict[str, Any]:
        """The degrees for accelerate, if the sharded state has several copies."""
        degrees = plan.degrees
        if degrees.dp_replicate == 1:
            return {}
        from accelerate import ParallelismConfig

        sizes = {"dp_replicate_size": degrees.dp_replicate, "dp_shard_size": degrees.shard_size}
        return {"parallelism_config": ParallelismConfig(**sizes)}

    def before_ranks_meet(self, plan: LaunchPlan) -> None:
        """Makes accelerate keep FSDP on CPU ranks."""
        if plan.device == "cpu":
            from launcher.train.upstream.accelerate_fsdp_on_cpu import keep_fsdp_on_cpu

            keep_fsdp_on_cpu()

    def loading(self, plan: LaunchPlan) -> AbstractContextManager[None]:
        """One rank of each node loads the model, if the plan says so."""
        from launcher.train.upstream.transformers_loads_once import loading

        return loading(plan.loads_once)

    def loaded(self, model: Any, plan: LaunchPlan) -> None:
        """Gives the ranks that have not loaded the model its buffers."""
        if plan.loads_once:
            from launcher.train.upstream.transformers_loads_once import share_buffers

            share_buffers(model)

    def found(self, trainer: Any, plan: LaunchPlan) -> dict[str, Any]:
        """The library. For one rank it is the planned one, because accelerate leaves FSDP out if there is nothing to shard."""
        alone = plan.degrees.world_size == 1
        return {"engine": plan.strategy.engine if alone else library(trainer), "zero_stage": 0}

    def found_degrees(self, trainer: Any) -> dict[str, int]:
        """Copies of the sharded state, by accelerate's mesh."""
        mesh = trainer.accelerator.torch_device_mesh
        names = () if mesh is None else mesh.mesh_dim_names
        return {"dp_replicate": mesh["dp_replicate"].size() if "dp_replicate" in names else 1}

    def shard_frozen(self, model: Any, plan: LaunchPlan) -> None:
        """Shards the blocks one by one; accelerate would make one unit of all, which every rank gathers in each pass."""
        if plan.degrees.shard_size == 1:
            return
        from torch.distributed.fsdp import (
            CPUOffloadPolicy,
            MixedPrecisionPolicy,
            OffloadPolicy,
            fully_shard,
        )

        mixed = plan.mixed_precision == "bf16"
        policy: dict[str, Any] = {
            "mp_policy": MixedPrecisionPolicy(param_dtype=torch.bfloat16 if mixed else None),
            "offload_policy": CPUOffloadPolicy() if plan.strategy.offload_param else OffloadPolicy(),
            "mesh": _mesh(plan),
        }
        blocks = block_names(model)

        def shard(model: Any) -> None:
            for module in model.modules():
                if type(module).__name__ in blocks:
                    fully_shard(module, **policy)
            # by default the root stays gathered after its forward pass: the embedding and the head of the second model
            fully_shard(model, reshard_after_forward=True, **policy)

        if plan.loads_once:
            from launcher.train.upstream.transformers_loads_once import shard_from_rank_0

            shard_from_rank_0(model, shard, cpu_offload=plan.strategy.offload_param)
        else:
            shard(model)

    def prepare_frozen(self, model: Any, trainer: Any, plan: LaunchPlan) -> Any:
        """The model, which is on its device once it is sharded."""
        return model if plan.degrees.shard_size > 1 else super().prepare_frozen(model, trainer, plan)

    def whole(self, parameter: Any) -> AbstractContextManager[torch.Tensor]:
        """The full tensor of a DTensor."""
        if hasattr(parameter, "full_tensor"):
            return nullcontext(parameter.full_tensor())
        return super().whole(parameter)

    def shard_of(self, name: str, parameter: Any, state: dict[str, Any]) -> Shard:
        """This rank's rows of the parameter; the complete parameter if nothing is sharded."""
        if not hasattr(parameter, "placements"):
            return super().shard_of(name, parameter, state)
        return Shard(
            name=name,
            shape=list(parameter.shape),
            start=_start(parameter),
            weight=flat(local(parameter.data)),
            state=state,
            **_copy_of(parameter),
        )


def _mesh(plan: LaunchPlan) -> Any:
    """The ranks that replicate and those that shard, as a mesh of two dimensions; None where all ranks shard."""
    if plan.degrees.dp_replicate == 1:
        return None
    from torch.distributed.device_mesh import init_device_mesh

    sizes = (plan.degrees.dp_replicate, plan.degrees.shard_size)
    return init_device_mesh(plan.device, sizes, mesh_dim_names=("dp_replicate", "dp_shard"))


def _copy_of(parameter: Any) -> dict[str, int]:
    """How many ranks hold the same range of a DTensor, and which of them this rank is."""
    copies, copy = 1, 0
    mesh = parameter.device_mesh
    for dimension, placement in enumerate(parameter.placements):
        if placement.is_replicate():
            copies *= mesh.size(dimension)
            copy = copy * mesh.size(dimension) + mesh.get_local_rank(dimension)
    return {"copies": copies, "copy": copy}


def _start(parameter: Any) -> int:
    """Where this rank's range of a DTensor begins, in elements."""
    offset = offset_of(parameter)
    if any(offset[1:]):
        raise CheckpointError(
            "strategy=fsdp2: a parameter is sharded along another dimension than the first, which checkpoints do not support; "
            "use strategy=zero3"
        )
    row = 1
    for size in parameter.shape[1:]:
        row *= size
    return int(offset[0]) * row if offset else 0


ON_RANK = Fsdp2OnRank()
