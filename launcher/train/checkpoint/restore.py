"""Loads the state of a checkpoint into the model and optimizer of this rank, however it was sharded when written."""

import json
import random
from typing import Any

import numpy
import torch

from launcher.checkpoint.folders import FoundCheckpoint, open_pieces
from launcher.checkpoint.manifest import Manifest, state_file
from launcher.checkpoint.pieces import Piece, PieceReader
from launcher.errors import CheckpointError
from launcher.train.checkpoint.shards import STEP, TORCH, WEIGHT, Shard
from launcher.train.strategies.base import on_rank
from launcher.train.upstream.transformers_trainer_hooks import not_logged, restore_not_logged


def restore(trainer: Any, found: FoundCheckpoint, rank: int, world_size: int, *, weights_only: bool) -> None:
    """Loads weights and, unless `weights_only`, the state of optimizer and scheduler; CheckpointError if they do not fit.

    A checkpoint without the optimizer's state leaves the optimizer new, at the checkpoint's step.
    """
    manifest, strategy = found.manifest, on_rank(trainer.plan.strategy)
    has_state = not (weights_only or manifest.weights_only)
    if has_state:
        strategy.prepare_state(trainer)
    own = [*strategy.shards(trainer)]
    _check_shapes(found, own)
    first = rank if world_size == manifest.world_size else 0
    # ranks whose numbers differ by a multiple of shard_size hold the same ranges, and each has written a part of them
    apart = trainer.plan.degrees.shard_size
    order = sorted(
        range(manifest.world_size), key=lambda number: (number != first, (number - rank) % apart != 0)
    )
    reader = open_pieces(found, order)
    for shard in own:
        for kind, tensor in shard.tensors().items():
            if kind == WEIGHT or has_state:
                read_into(reader, found, f"{kind}/{shard.name}", shard.start, tensor)
    strategy.publish(trainer)
    if weights_only:
        return
    small = read_small(found, rank)
    for shard in own:
        if STEP in shard.state and has_state:
            old = shard.state[STEP]
            step = small["optimizer_step"]
            shard.state[STEP] = int(step) if isinstance(old, int) else torch.full_like(old, step)
    _restore_scheduler(trainer.lr_scheduler, small["scheduler"])
    strategy.go_on_from(trainer, manifest.step, manifest.samples)


def _restore_scheduler(scheduler: Any, state: dict[str, Any]) -> None:
    """Loads the state of the scheduler. The number of parameter groups depends on the strategy (DeepSpeed omits empty groups);
    the learning rate is the same in all groups."""
    groups = len(scheduler.optimizer.param_groups)
    fitted = {
        key: value[:1] * groups if isinstance(value, list) and len(value) != groups else value
        for key, value in state.items()
    }
    scheduler.load_state_dict(fitted)
    for group, rate in zip(scheduler.optimizer.param_groups, scheduler.get_last_lr(), strict=True):
        group["lr"] = rate  # a scheduler sets it only after a step


def read_small(found: FoundCheckpoint, rank: int) -> dict[str, Any]:
    """The state of this rank that is not in tensors; that of rank 0 if the checkpoint has fewer ranks."""
    path = found.path / state_file(rank if rank < found.manifest.world_size else 0)
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from None


def small_state(trainer: Any) -> dict[str, Any]:
    """The state of a rank that is not in tensors: random generators, the scheduler, and losses that are not yet logged."""
    state = on_rank(trainer.plan.strategy).shards(trainer)
    steps = [shard.state[STEP] for shard in state if STEP in shard.state]
    python = random.getstate()
    name, keys, position, has_gauss, gauss = numpy.random.get_state()
    return {
        "optimizer_step": float(steps[0]) if steps else float(trainer.state.global_step),
        "scheduler": trainer.lr_scheduler.state_dict(),
        "not_logged": not_logged(trainer),
        "random": {
            "python": [python[0], list(python[1]), python[2]],
            "numpy": [name, keys.tolist(), position, has_gauss, gauss],
            "torch": bytes(torch.get_rng_state().numpy()).hex(),
            "cuda": bytes(torch.cuda.get_rng_state().numpy()).hex() if torch.cuda.is_available() else None,
        },
    }


def restore_random(trainer: Any, found: FoundCheckpoint, rank: int, world_size: int, seed: int) -> None:
    """Restores the random generators of this rank, or seeds them again if the number of ranks has changed."""
    small = read_small(found, rank)
    waiting = small["not_logged"]
    same = world_size == found.manifest.world_size
    restore_not_logged(
        trainer,
        loss=waiting["loss"] if same else 0.0,
        total=waiting["total"],
        step=waiting["step"] if same else found.manifest.step,
    )
    if not same:
        torch.manual_seed(hash((seed, found.manifest.step, rank)))
        return
    states = small["random"]
    version, keys, gauss = states["python"]
    random.setstate((version, tuple(keys), gauss))
    numpy.random.set_state(tuple(states["numpy"]))
    torch.set_rng_state(_bytes(states["torch"]))
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(_bytes(states["cuda"]))


def check_position(found: FoundCheckpoint, *, rows: int, global_batch_size: int, seed: int) -> None:
    """CheckpointError if the data stream of this run differs from the checkpoint's, because its position would be invalid."""
    manifest: Manifest = found.manifest
    for key, old, new in (
        ("batch.global_batch_size", manifest.global_batch_size, global_batch_size),
        ("the number of training sequences", manifest.samples_per_epoch, rows),
        ("seed", manifest.seed, seed),
    ):
        if old != new:
            raise CheckpointError(
                f"{key} is {new} here and {old} in {found.path}, so its position in the data is invalid; set it back, or "
                "load only its weights with resume_weights_only=true"
            )


def _check_shapes(found: FoundCheckpoint, own: list[Shard]) -> None:
    known = found.manifest.parameters
    for shard in own:
        if known.get(shard.name) != shard.shape:
            raise CheckpointError(
                f"{found.path}: {shard.name} has shape {known.get(shard.name)} there and {shard.shape} here; use the model and "
                "plugins that it was written with"
            )


def read_into(
    reader: PieceReader, found: FoundCheckpoint, name: str, start: int, target: torch.Tensor
) -> None:
    """Fills a flat tensor with the elements of `kind/parameter` from `start` on; CheckpointError if some are missing."""

    def put(piece: Piece, offset: int, data: bytearray) -> None:
        source = torch.frombuffer(data, dtype=TORCH[piece.dtype])
        target.narrow(0, offset, piece.numel).copy_(source)

    try:
        with torch.no_grad():
            reader.read(name, start, start + target.numel(), put)
    except CheckpointError as error:
        raise CheckpointError(
            f"{found.path}: {error}; was trainer.optim changed? load only its weights with resume_weights_only=true"
        ) from None


def _bytes(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
