"""Settings that spread training over GPUs: DeepSpeed, FSDP and the degrees of other tools' recipes."""

import re
from typing import Any, cast

from launcher.recipes.base import Draft, Step, is_off


def sequence_parallel(draft: Draft, key: str, value: Any) -> None:
    """strategy.sequence_parallel_size: ranks that share each sequence."""
    if value in (None, 0, 1):
        draft.same(key, "each rank has whole sequences")
    else:
        _degree(draft, key, "strategy.sequence_parallel_size", value)


def replicas(draft: Draft, key: str, value: Any) -> None:
    """strategy.dp_replicate_size: copies of the sharded weights."""
    if value in (None, 0, 1):
        draft.same(key, "one copy is sharded over all ranks")
    elif "strategy.engine" not in draft.entries or draft.value("strategy.zero_stage") is not None:
        draft.same(key, "copies of the weights need FSDP2; without it every rank has one")
    else:
        _degree(draft, key, "strategy.dp_replicate_size", value)


def _degree(draft: Draft, key: str, own: str, value: Any) -> None:
    """A degree, which must divide the GPUs."""
    if isinstance(value, int) and not draft.world % value:
        draft.carry(key, own, value)
    else:
        draft.lost(
            key,
            f"{value!r} does not divide the {draft.world} GPUs; convert with --gpus, and --nodes if there are several",
        )


def unless_one(step: Step) -> Step:
    """The step, for a degree of more than 1."""
    return lambda draft, key, value: (
        draft.same(key, "off") if value in (None, 0, 1) else step(draft, key, value)
    )


def deepspeed(draft: Draft, key: str, value: object) -> None:
    """strategy.* from DeepSpeed's JSON in the recipe's folder, or from the usual name of that file."""
    named_file = str(value)
    given = cast("dict[str, Any]", value) if isinstance(value, dict) else None
    loaded: dict[str, Any] | None = given or draft.read_beside(named_file)
    if loaded is not None:
        zero = cast("dict[str, Any]", loaded.get("zero_optimization") or {})
        stage = int(zero.get("stage", 0))
        offload = [_offloads(zero.get(f"offload_{part}")) for part in ("optimizer", "param")]
    else:
        named = re.search(r"(?:zero|z|stage)_?([0-3])", named_file.rpartition("/")[2])
        if named is None:
            draft.lost(
                key,
                f"{named_file} was not found, and its name does not contain the ZeRO stage; choose strategy=zero2 or zero3",
            )
            return
        stage = int(named[1])
        offload = ["offload" in named_file] * 2
    set_zero(draft, key, stage, optimizer=offload[0], param=offload[1] and stage == 3)


def set_zero(draft: Draft, key: str, stage: int, *, optimizer: bool, param: bool) -> None:
    """strategy.* for a ZeRO stage; stage 0 is plain data parallelism."""
    if stage == 0:
        draft.carry(key, "strategy.engine", "ddp")
        return
    draft.carry(key, "strategy.engine", "deepspeed")
    draft.put("strategy.zero_stage", stage)
    if optimizer:
        draft.put("strategy.offload_optimizer", True)
    if param:
        draft.put("strategy.offload_param", True)


def fsdp(draft: Draft, key: str, offload: Any) -> None:
    """strategy.* for PyTorch's own sharding, for both versions of FSDP."""
    draft.carry(key, "strategy.engine", "fsdp2")
    if not is_off(offload):
        draft.put("strategy.offload_param", True)


def _offloads(part: Any) -> bool:
    return isinstance(part, dict) and str(cast("dict[str, Any]", part).get("device", "none")) != "none"
