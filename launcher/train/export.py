"""The trained adapter or model as an ordinary folder, checked before it counts."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import safe_open

from launcher.errors import RunError
from launcher.run import RunDir


def export(run: RunDir, trainer: Any, tokenizer: Any) -> None:
    """Writes model/: an adapter where only an adapter was trained, else the whole model. Every rank must call it.

    Written beside and renamed, after the tensors on disk were held against the trained ones.
    """
    accelerator = trainer.accelerator
    model = accelerator.unwrap_model(trainer.model)
    adapter = isinstance(model, PeftModel)
    temporary = run.path / ".model"
    state = gather(model, trainable_only=adapter)
    if accelerator.is_main_process:
        shutil.rmtree(temporary, ignore_errors=True)
        if adapter:
            model.save_pretrained(temporary, state_dict=state)
        else:
            model.config.use_cache = True
            model.save_pretrained(temporary, state_dict=state)
        tokenizer.save_pretrained(temporary)
        check(temporary, expected=len(state) if adapter else None)
        if run.export.exists():
            shutil.rmtree(run.export)
        temporary.rename(run.export)
    accelerator.wait_for_everyone()


def gather(model: Any, *, trainable_only: bool) -> dict[str, torch.Tensor]:
    """Whole tensors by parameter name, on the CPU; filled on rank 0. One parameter at a time, so a 70B base never is in one
    place when only its adapter is wanted."""
    state: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        if trainable_only and not parameter.requires_grad:
            continue
        with _whole(parameter) as tensor:
            state[name] = tensor.detach().to("cpu", copy=True)
    if not trainable_only:
        state |= {name: buffer.cpu() for name, buffer in model.named_buffers() if name in model.state_dict()}
    return state


def check(folder: Path, expected: int | None) -> None:
    """RunError when the written weights are empty, not finite or fewer than were trained."""
    count = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                tensor = tensors.get_tensor(name)
                if tensor.numel() == 0 or not bool(torch.isfinite(tensor).all()):
                    raise RunError(
                        f"{file}: {name} is empty or not finite; the export is not usable, resume from a checkpoint"
                    )
                count += 1
    if count == 0 or (expected is not None and count != expected):
        raise RunError(
            f"{folder}: {count} tensors were written, {expected} were trained; the export is not usable"
        )


@contextmanager
def _whole(parameter: Any) -> Iterator[torch.Tensor]:
    """The parameter unsharded: ZeRO-3's gathered for the moment, FSDP2's DTensor as one tensor."""
    if hasattr(parameter, "ds_id"):
        import deepspeed

        with deepspeed.zero.GatheredParameters([parameter]):
            yield parameter.data
    elif hasattr(parameter, "full_tensor"):
        yield parameter.full_tensor()
    else:
        yield parameter.data
