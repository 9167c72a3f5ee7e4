"""Exporting the trained adapter or model to a folder, which is loaded back and compared before it gets its name."""

import copy
import dataclasses
import shutil
from collections.abc import Callable, Mapping
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
from launcher.plugins.base import all_set_aside
from launcher.plugins.decide import Decided
from launcher.run import RunDir
from launcher.timeouts import EXPORT_S
from launcher.train.after.card import add_card, digests
from launcher.train.after.checked import ExportFacts, outcome
from launcher.train.after.compare import check_same, logits_of, prompts, tolerance
from launcher.train.after.load_back import bytes_to_load, load_back, saved_dtype
from launcher.train.free_memory import fits
from launcher.train.strategies.base import WHOLE, OnRank, on_rank
from launcher.train.upstream.transformers_single_process import single_process

REFERENCE = "trained_logits.safetensors"
"""File in the run dir with the trained model's logits on the fixed prompts, with which every later export is compared."""


def export(
    run: RunDir,
    decided: Decided,
    trainer: Any,
    tokenizer: Any,
    again: Callable[[Path], Any] | None = None,
) -> ExportFacts | None:
    """How the export was checked, on rank 0 (elsewhere None), after model/ is written: an adapter if only that was trained,
    else the full model.

    Collective. The folder is written under another name, loaded back in this process, compared with the trained model by the
    logits on fixed prompts, and then renamed. If the base is too large for the memory of this host, it is not loaded again, and
    only the tensors on disk are compared with the trained ones. If the check fails, the folder is kept, with a warning.
    `again` loads the folder over a base model that this process holds already.
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
    strategy.settle(trainer)
    state = gather(model, strategy, trainable_only=adapter)
    facts: ExportFacts | None = None
    if accelerator.is_main_process:
        try:
            write(model, state, tokenizer, temporary, decided)
            found = outcome(lambda: _verify(temporary, state, trained, ids, decided, count(model), again))
            if why := found.why:
                print(
                    f"launcher: warning: the check of {run.export} failed, but it was kept: {why}", flush=True
                )
            facts = dataclasses.replace(found, data=digests(decided.plan))
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
    """Writes weights, configuration, tokenizer and chat template into a new folder, and checks the tensors on disk."""
    shutil.rmtree(folder, ignore_errors=True)
    adapter = isinstance(model, PeftModel)
    if adapter:
        for config in model.peft_config.values():
            config.revision = decided.config.model.revision
        # the vocabulary is never resized, and "auto" would query the hub
        model.save_pretrained(folder, state_dict=dict(state), save_embedding_layers=False)
        if decided.plan.classes is not None or decided.config.model.rope_scaling.factor is not None:
            _write_config(model, folder)
    else:
        model.config.use_cache = True
        model.save_pretrained(folder, state_dict=dict(state))
    tokenizer.save_pretrained(folder)
    check(folder, expected=len(state) if adapter else None)


def _write_config(model: Any, folder: Path) -> None:
    """Writes the model's config.json beside an adapter, because no other file of an adapter holds its classes and its RoPE
    scaling. The quantisation of the base is left out: whoever loads the adapter chooses it."""
    config = copy.deepcopy(model.get_base_model().config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.use_cache = True
    config.save_pretrained(folder)


def check(folder: Path, expected: int | None) -> None:
    """RunError if the written weights are empty, not finite, or fewer than the trained ones."""
    count = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                tensor = tensors.get_tensor(name)
                if tensor.numel() == 0 or not bool(torch.isfinite(tensor).all()):
                    raise RunError(
                        f"{file}: {name} is empty or not finite; the export cannot be used; resume from a checkpoint"
                    )
                count += 1
    if count == 0 or (expected is not None and count != expected):
        raise RunError(
            f"{folder}: {count} tensors were written, but {expected} were trained; the export cannot be used"
        )


def count(model: Any) -> int:
    """The number of weights of a model, sharded or not; for packed 4-bit weights an upper bound."""
    packed = 4 if getattr(model, "is_loaded_in_4bit", False) else 1
    return packed * sum(getattr(parameter, "ds_numel", parameter.numel()) for parameter in model.parameters())


def _verify(
    folder: Path,
    state: Mapping[str, torch.Tensor],
    trained: torch.Tensor,
    ids: list[list[int]],
    decided: Decided,
    parameters: int,
    again: Callable[[Path], Any] | None,
) -> ExportFacts:
    """How the folder was compared with the trained model; RunError if it is another model."""
    if again is None and not fits(bytes_to_load(folder, decided, parameters=parameters)):
        return ExportFacts(verified="tensors")
    with single_process(), all_set_aside(decided.plugins):
        found = again(folder) if again else load_back(folder, decided)
        compare_tensors(found, state)
        limit = tolerance(*formats(decided.plan, found, folder))
        apart = check_same(logits_of(found, ids), trained, limit)
    return ExportFacts(verified="logits", difference=apart, tolerance=limit)


def formats(plan: LaunchPlan, model: Any, *folders: Path) -> list[str]:
    """The number formats that affect the logits of the trained model and of this one: those of the forward pass, the weights
    and the saved tensors (trl trains QLoRA's adapters in bf16, and peft loads them as fp32). 4-bit weights count as bf16,
    because some bitsandbytes kernels always compute in it."""
    quantised = plan.adapter is not None and (plan.adapter.four_bit or plan.adapter.eight_bit)
    forward = ["bfloat16"] if plan.precision == "bf16" or quantised else []
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
            raise RunError(f"{name} was trained but is missing when the export is loaded back")
        if not torch.equal(found[name].cpu().to(tensor.dtype), tensor):
            raise RunError(f"{name} differs from the trained tensor when the export is loaded back")


def replace_folder(temporary: Path, target: Path) -> None:
    """Gives a finished folder its name, and removes the folder that had this name."""
    old = target.with_name(f".old_{target.name}")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    temporary.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def gather(model: Any, strategy: OnRank = WHOLE, *, trainable_only: bool) -> dict[str, torch.Tensor]:
    """Parameter name -> complete tensor on the CPU. Parameters are gathered one at a time, and only trained ones if requested,
    so that a 70B base is never on one rank."""
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
    )  # set for an adapter that has changed its base, see plugins/on_rank/initial.py
    return as_exported(state) if as_exported else state
