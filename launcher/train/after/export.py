"""The trained adapter or model as an ordinary folder, loaded back and compared before it counts."""

import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import save_file

from launcher.errors import RunError
from launcher.plan import LaunchPlan
from launcher.plugins.decide import Decided
from launcher.run import RunDir
from launcher.timeouts import EXPORT_S
from launcher.train.after.card import add_card, digests
from launcher.train.after.compare import check_same, logits_of, prompts, tolerance
from launcher.train.after.host_memory import fits
from launcher.train.after.load_back import bytes_to_load, load_back, saved_dtype
from launcher.train.strategies.base import WHOLE, OnRank, on_rank
from launcher.train.upstream.transformers_single_process import single_process

REFERENCE = "trained_logits.safetensors"
"""In the run dir: what the trained model said on the fixed prompts, so that every later export is held against it."""


def export(run: RunDir, decided: Decided, trainer: Any, tokenizer: Any) -> dict[str, Any]:
    """Writes model/: an adapter where only an adapter was trained, else the whole model; how it was checked, on rank 0.

    Every rank must call it. Written beside and renamed, after it was loaded back in this process and said the same on fixed
    prompts as the trained model, wherever that was sharded. A base too large for this host's memory is not loaded again: then
    the tensors on disk alone are held against the trained ones.
    """
    accelerator = trainer.accelerator
    model = accelerator.unwrap_model(trainer.model)
    adapter = isinstance(model, PeftModel)
    wait = (
        dist.new_group(backend="gloo", timeout=timedelta(seconds=EXPORT_S))
        if accelerator.num_processes > 1
        else None
    )
    temporary = run.path / ".model"
    ids = prompts(tokenizer)
    strategy = on_rank(decided.plan.strategy)
    trained = logits_of(strategy.forward_model(trainer, model), ids)
    state = gather(model, strategy, trainable_only=adapter)
    facts: dict[str, Any] = {}
    if accelerator.is_main_process:
        try:
            write(model, state, tokenizer, temporary, decided)
            facts = _verify(temporary, state, trained, ids, decided, count(model))
            facts["data"] = digests(decided.plan)
            reference = run.path / f".{REFERENCE}"
            save_file({"logits": trained, "step": torch.tensor(trainer.state.global_step)}, reference)
            add_card(temporary, run, decided, facts)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        replace_folder(temporary, run.export)
        reference.replace(run.path / REFERENCE)
    if wait is not None:
        dist.barrier(wait)
    return facts


def write(
    model: Any, state: Mapping[str, torch.Tensor], tokenizer: Any, folder: Path, decided: Decided
) -> None:
    """Weights, configuration, tokenizer and chat template in a new folder; the tensors read back and compared."""
    shutil.rmtree(folder, ignore_errors=True)
    adapter = isinstance(model, PeftModel)
    if adapter:
        for config in model.peft_config.values():
            config.revision = decided.config.model.revision
        # The vocabulary is never resized; "auto" would ask the hub, and wait for it
        model.save_pretrained(folder, state_dict=dict(state), save_embedding_layers=False)
    else:
        model.config.use_cache = True
        model.save_pretrained(folder, state_dict=dict(state))
    tokenizer.save_pretrained(folder)
    check(folder, expected=len(state) if adapter else None)


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


def count(model: Any) -> int:
    """Weights of a model, wherever they are; of 4-bit weights, which are packed, at least as many as there are."""
    packed = 4 if getattr(model, "is_loaded_in_4bit", False) else 1
    return packed * sum(getattr(parameter, "ds_numel", parameter.numel()) for parameter in model.parameters())


def _verify(
    folder: Path,
    state: Mapping[str, torch.Tensor],
    trained: torch.Tensor,
    ids: list[list[int]],
    decided: Decided,
    parameters: int,
) -> dict[str, Any]:
    """How the folder was held against the trained model; RunError where it is another one."""
    if not fits(bytes_to_load(folder, decided, parameters=parameters)):
        return {"verified": "tensors"}
    with single_process():
        again = load_back(folder, decided)
        compare_tensors(again, state)
        limit = tolerance(*formats(decided.plan, again, folder))
        apart = check_same(logits_of(again, ids), trained, limit)
    return {"verified": "logits", "difference": apart, "tolerance": limit}


def formats(plan: LaunchPlan, model: Any, *folders: Path) -> list[str]:
    """Number formats that the trained model's logits and this one's have gone through: the forward pass's, the weights' and
    the saved tensors' (trl trains QLoRA's adapters in bf16, and peft loads them as fp32). 4-bit weights count as bf16: some
    of bitsandbytes' kernels compute in it whatever they are told."""
    four_bit = plan.adapter is not None and plan.adapter.four_bit
    forward = ["bfloat16"] if plan.precision == "bf16" or four_bit else []
    forward += [saved_dtype(folder) for folder in folders]
    return [
        *forward,
        *{str(parameter.dtype) for parameter in model.parameters() if parameter.is_floating_point()},
    ]


def compare_tensors(model: Any, state: Mapping[str, torch.Tensor]) -> None:
    """RunError unless the model holds every trained tensor, bit for bit in the format that it was saved in."""
    found = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, tensor in state.items():
        if name not in found:
            raise RunError(
                f"{name} was trained and is not in the export when it is loaded back; nothing was kept"
            )
        if not torch.equal(found[name].cpu().to(tensor.dtype), tensor):
            raise RunError(f"{name} is not what was trained when it is loaded back; nothing was kept")


def replace_folder(temporary: Path, target: Path) -> None:
    """Gives a finished folder its name; what had it goes."""
    old = target.with_name(f".old_{target.name}")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    temporary.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def gather(model: Any, strategy: OnRank = WHOLE, *, trainable_only: bool) -> dict[str, torch.Tensor]:
    """Whole tensors by parameter name, on the CPU; filled on rank 0. One parameter at a time, so a 70B base never is in one
    place when only its adapter is wanted."""
    state: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        if trainable_only and not parameter.requires_grad:
            continue
        with strategy.whole(parameter) as tensor:
            state[name] = tensor.detach().to("cpu", copy=True)
    if not trainable_only:
        state |= {name: buffer.cpu() for name, buffer in model.named_buffers() if name in model.state_dict()}
    as_exported = getattr(
        model, "as_exported", None
    )  # of an adapter that has changed its base, see plugins/on_rank/initial.py
    return as_exported(state) if as_exported else state
