"""The trained state as this rank holds it: contiguous runs of flattened parameters and of their optimizer state."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from launcher.errors import CheckpointError

WEIGHT = "weight"
STEP = "step"
_WRAPPERS = re.compile(r"(^|\.)(module|_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)(?=\.)")


@dataclass
class Shard:
    """Elements [start, start + numel) of one trained parameter; the tensors are flat views, not copies."""

    name: str
    shape: list[int]
    start: int
    weight: torch.Tensor
    """As the optimizer keeps it: fp32 where there is a master copy."""
    state: dict[str, Any] = field(default_factory=dict)
    """The optimizer's own dict for the tensor that this run lies in; changed in place by a restore."""
    offset: int = 0
    """Where the run begins in the tensors of `state`."""
    whole: bool = False
    """Whether every rank holds all of it (ddp), so that one has to write it."""

    @property
    def numel(self) -> int:
        return self.weight.numel()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Flat views by kind: weight, and the optimizer's tensors of the same length."""
        found = {WEIGHT: self.weight}
        for kind, value in self.state.items():
            if kind != STEP and torch.is_tensor(value):
                flat = _flat(_local(value))
                if self.whole:  # also what is of another size, as the constants of 8-bit state
                    found[kind] = flat
                    continue
                if flat.numel() < self.offset + self.numel:
                    raise CheckpointError(
                        f"trainer.optim: its state {kind} of {self.name} is not of the parameter's size; checkpoints hold "
                        "optimizers such as adamw_torch; use trainer.optim=adamw_torch, or plugin=[...] without "
                        "sharded_checkpoint"
                    )
                found[kind] = flat.narrow(0, self.offset, self.numel)
        return found


def clean(name: str) -> str:
    """A parameter's name without what DDP, torch.compile or FSDP put into it."""
    return _WRAPPERS.sub(r"\1", name).replace("..", ".").lstrip(".")


def shards(trainer: Any) -> list[Shard]:
    """This rank's runs of every trained parameter, in the model's order. Frozen parameters are never among them."""
    if trainer.is_deepspeed_enabled:
        engine = trainer.model_wrapped
        find = _zero3 if engine.zero_optimization_partition_weights() else _zero12
        return list(find(engine))
    return list(_plain(trainer))


def _plain(trainer: Any) -> Iterator[Shard]:
    """Under ddp and FSDP2, whose tensors are DTensors sharded along their first dimension."""
    optimizer = trainer.optimizer
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    for name, parameter in trainer.model_wrapped.named_parameters():
        if not parameter.requires_grad:
            continue
        local = _local(parameter.data)
        yield Shard(
            name=clean(name),
            shape=list(parameter.shape),
            start=_start(parameter),
            weight=_flat(local),
            state=optimizer.state[parameter],
            whole=local.numel() == parameter.numel() and not hasattr(parameter, "placements"),
        )


def _zero12(engine: Any) -> Iterator[Shard]:
    """ZeRO-1 and -2: runs of this rank's flat fp32 partitions."""
    zero = engine.optimizer
    names = {id(parameter): clean(name) for name, parameter in engine.module.named_parameters()}
    for group, flat in zip(zero.bit16_groups, zero.single_partition_of_fp32_groups, strict=True):
        for parameter in group:
            mapping = parameter._hp_mapping
            if mapping is None:
                continue
            at, run = mapping.hp_fragment_address.start, mapping.lp_fragment_address
            yield Shard(
                name=names[id(parameter)],
                shape=list(parameter.shape),
                start=run.start,
                weight=flat.data.narrow(0, at, run.numel),
                state=zero.optimizer.state[flat],
                offset=at,
            )


def _zero3(engine: Any) -> Iterator[Shard]:
    """ZeRO-3: every parameter is cut into equal runs, the last of them padded."""
    zero = engine.optimizer
    rank = torch.distributed.get_rank(group=zero.dp_process_group)
    for name, parameter in engine.module.named_parameters():
        if not parameter.requires_grad:
            continue
        group, at, size = zero.grad_position[zero.get_param_id(parameter)]
        flat = zero.fp32_partitioned_groups_flat[group]
        start = rank * size
        numel = max(0, min(size, parameter.ds_numel - start))
        if numel:
            yield Shard(
                name=clean(name),
                shape=list(parameter.ds_shape),
                start=start,
                weight=flat.data.narrow(0, at, numel),
                state=zero.optimizer.state[flat],
                offset=at,
            )


def prepare_state(trainer: Any) -> None:
    """Gives the optimizer its state before the first step, zeroed, so that a restore can fill it.

    Every flat tensor gets a step of its own: DeepSpeed 0.19.8 shares one over its groups after a universal load and
    then advances it twice a step.
    """
    if not trainer.is_deepspeed_enabled:
        if _bitsandbytes(trainer):
            return
        fused = _fused(trainer.optimizer)
        for shard in shards(trainer):
            _zeros(shard.state, _original(trainer, shard), fused)
        return
    zero = trainer.model_wrapped.optimizer
    stage3 = hasattr(zero, "fp32_partitioned_groups_flat")
    for flat in zero.fp32_partitioned_groups_flat if stage3 else zero.single_partition_of_fp32_groups:
        _zeros(zero.optimizer.state[flat], flat, _fused(zero.optimizer))


def _bitsandbytes(trainer: Any) -> bool:
    """Whether the optimizer is one of bitsandbytes', whose state is then made; its parts differ by parameter and size."""
    optimizer = trainer.optimizer
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    if not hasattr(optimizer, "init_state"):
        return False
    if not optimizer.initialized:
        optimizer.check_overrides()
        optimizer.to_gpu()
        optimizer.initialized = True
    for number, group in enumerate(optimizer.param_groups):
        for index, parameter in enumerate(group["params"]):
            if not optimizer.state[parameter]:
                optimizer.init_state(group, parameter, number, index)
    return True


def _original(trainer: Any, shard: Shard) -> torch.Tensor:
    named = {clean(name): parameter for name, parameter in trainer.model_wrapped.named_parameters()}
    return named[shard.name]


def _fused(optimizer: Any) -> bool:
    """Whether its kernel reads the step itself, which then is where the parameter is (torch 2.13, optim/adamw.py)."""
    return any(group.get("fused") or group.get("capturable") for group in optimizer.param_groups)


def _zeros(state: dict[str, Any], original: torch.Tensor, fused: bool) -> None:
    for kind in ("exp_avg", "exp_avg_sq"):
        if kind not in state:
            state[kind] = torch.zeros_like(original.data)
    old = state.get(STEP)
    device = original.device if fused else None
    state[STEP] = old if isinstance(old, int) else torch.zeros((), dtype=torch.float32, device=device)


def publish(trainer: Any) -> None:
    """Carries restored fp32 weights to where the forward pass reads them."""
    if not trainer.is_deepspeed_enabled:
        return
    zero = trainer.model_wrapped.optimizer
    if hasattr(zero, "fp32_partitioned_groups_flat"):
        for group in range(len(zero.fp32_partitioned_groups_flat)):
            zero._reassign_or_swap_out_partitioned_parameters(group)
        if zero.persistent_parameters:
            zero.persistent_parameters[0].partition(zero.persistent_parameters)
            zero.persistent_parameters[0].all_gather(zero.persistent_parameters)
        return
    for index, flat in enumerate(zero.single_partition_of_fp32_groups):
        rank = torch.distributed.get_rank(group=zero.real_dp_process_group[index])
        parts = zero.parallel_partitioned_bit16_groups[index]
        parts[rank].data.copy_(flat.data)
        whole = [torch.empty_like(parts[rank]) for _ in parts]
        torch.distributed.all_gather(whole, parts[rank].data, group=zero.real_dp_process_group[index])
        for part, gathered in zip(parts, whole, strict=True):
            part.data.copy_(gathered)


def _local(tensor: Any) -> torch.Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().view(-1)


def _start(parameter: Any) -> int:
    """Where this rank's run of a DTensor begins, in elements."""
    if not hasattr(parameter, "placements"):
        return 0
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    _, offset = compute_local_shape_and_global_offset(
        parameter.shape, parameter.device_mesh, parameter.placements
    )
    row = 1
    for size in parameter.shape[1:]:
        row *= size
    if any(offset[1:]):
        raise CheckpointError("strategy=fsdp2 shards along the first dimension alone; this model does not")
    return int(offset[0]) * row if offset else 0
