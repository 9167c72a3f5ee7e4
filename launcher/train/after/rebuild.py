"""Rebuilding the trained model of a run from one of its checkpoints, in one process."""

from typing import Any

from launcher.checkpoint.folders import FoundCheckpoint, first_difference, open_pieces
from launcher.errors import CheckpointError, RunError
from launcher.plugins.decide import Decided
from launcher.train.after.load_back import open_base
from launcher.train.checkpoint.restore import read_into
from launcher.train.checkpoint.shards import WEIGHT, clean
from launcher.train.free_memory import fits, free_bytes
from launcher.units import GIB

_BYTES = {"float32": 4.0, "bfloat16": 2.0}


def rebuild(decided: Decided, found: FoundCheckpoint) -> Any:
    """The model at the step of the checkpoint, however it was sharded; CheckpointError if the files are damaged."""
    if wrong := first_difference(found, sorted(found.manifest.files)):
        raise CheckpointError(f"{wrong}; choose another step, python -m launcher checkpoints shows them")
    check_room(decided)
    model = open_base(decided, changed=True)
    fill(model, found)
    return model


def fill(model: Any, found: FoundCheckpoint) -> None:
    """Loads the weights of a checkpoint into the trained parameters; CheckpointError unless both have the same parameters."""
    manifest = found.manifest
    trained = {clean(name): one for name, one in model.named_parameters() if one.requires_grad}
    if trained.keys() != manifest.parameters.keys():
        odd = min(trained.keys() ^ manifest.parameters.keys())
        raise CheckpointError(
            f"{found.path}: {odd} is not in {'the checkpoint' if odd in trained else 'this model'}; was a plugin changed since?"
        )
    reader = open_pieces(found)
    for name, parameter in trained.items():
        if manifest.parameters[name] != list(parameter.shape):
            raise CheckpointError(
                f"{found.path}: {name} has shape {manifest.parameters[name]} there, but {list(parameter.shape)} in this model"
            )
        parameter.data = parameter.data.contiguous()
        read_into(reader, found, f"{WEIGHT}/{name}", 0, parameter.data.view(-1))


def check_room(decided: Decided, size: float | None = None) -> None:
    """RunError if this host has too little memory for the model, with `size` bytes per weight or in its training format."""
    plan = decided.plan
    four_bit = plan.adapter is not None and plan.adapter.four_bit
    need = (size or (1.0 if four_bit else _BYTES[plan.weights_dtype])) * 1.1 * (plan.model.parameters or 0)
    if not fits(need):
        raise RunError(
            f"{plan.model.name_or_path} needs about {need / GIB:.0f} GiB of this host's memory and "
            f"{free_bytes() / GIB:.0f} GiB are free, of which 70 % may be used; run this on a node with more memory"
        )
