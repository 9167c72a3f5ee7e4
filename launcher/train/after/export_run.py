"""The verb export: a run's adapter, merged model or full model in a separate folder, loaded back and compared first."""

import gc
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from launcher.checkpoint.folders import FoundCheckpoint, look
from launcher.errors import RunError
from launcher.methods.registry import find_method
from launcher.plugins.decide import Decided, reread_run
from launcher.run import RunDir
from launcher.run.events.results import Exported
from launcher.train.after.__main__ import Say
from launcher.train.after.card import NAME, add_card, digests
from launcher.train.after.compare import check_same, difference, logits_of, prompts, tolerance
from launcher.train.after.export import (
    FAILED,
    REFERENCE,
    check,
    formats,
    gather,
    outcome,
    replace_folder,
    write,
)
from launcher.train.after.load_back import is_adapter, load_back, open_whole, saved_dtype
from launcher.train.after.merge import merge
from launcher.train.after.rebuild import check_room, rebuild
from launcher.train.model import load_tokenizer

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_ADAPTER_WEIGHTS = "adapter_model.safetensors"


def answer(request: dict[str, Any], say: Say) -> dict[str, Any]:
    """The path of the export and how it was checked; RunError, without a finished folder, if it cannot be made."""
    run = RunDir(Path(request["run_dir"]))
    target = Path(request["to"])
    decided = reread_run(run)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary, adapter = (target.with_name(f".{target.name}.{part}") for part in ("part", "adapter"))
    try:
        facts = make(run, decided, request, temporary, adapter, say)
        if target.exists() and not request["force"]:
            raise RunError(f"{target} exists; give --force to overwrite it, or another folder with --to")
        replace_folder(temporary, target)
    finally:
        for folder in (temporary, adapter):
            shutil.rmtree(folder, ignore_errors=True)
    return {"run": run.name, "path": str(target), **facts}


def make(
    run: RunDir, decided: Decided, request: Mapping[str, Any], folder: Path, adapter: Path, say: Say
) -> dict[str, Any]:
    """The facts of the export, after it is written to `folder`; `adapter` is a folder for an intermediate adapter."""
    source = run.export
    dtype = DTYPES[request["dtype"]] if request["dtype"] else None
    if request["merged"]:
        dtype = dtype or getattr(torch, decided.plan.weights_dtype)
    converted = request["merged"] or (request["checkpoint"] is None and not is_adapter(source))
    check_room(decided, dtype.itemsize if dtype and converted else None)
    tokenizer = load_tokenizer(decided.config.model, decided.plan.facts, decided.config.seed)
    ids = prompts(tokenizer)
    if request["checkpoint"] is not None:
        source, trained, step = adapter, *_from_checkpoint(decided, request, adapter, ids, tokenizer, say)
    else:
        trained, step = _reference(run, decided, ids, say)
    facts: dict[str, Any] = {"step": step, "effect": None}
    kind = "adapter" if is_adapter(source) else "model"
    if request["merged"]:
        if kind == "model":
            raise RunError(
                f"{run.name} trained every weight, so its export is already a full model; leave --merged out"
            )
        kind = "merged"
        say(progress={"what": "merging the adapter into its base"})
        assert dtype is not None
        merged, before = merge(source, decided, dtype, ids)
        facts["effect"] = difference(before, trained)
        say(progress={"what": "writing"})
        _save(merged, tokenizer, folder)
        del merged
        gc.collect()
    else:
        say(progress={"what": "writing"})
        _copy(source, folder, decided, dtype, tokenizer)
    say(progress={"what": "loading it back"})

    def compare() -> dict[str, Any]:
        again = load_back(folder, decided)
        limit = tolerance(*formats(decided.plan, again, folder, source), *([str(dtype)] if dtype else []))
        return {
            "verified": "logits",
            "difference": check_same(logits_of(again, ids), trained, limit),
            "tolerance": limit,
        }

    facts |= {
        "kind": kind,
        "answers": not find_method(decided.plan.trainer).own_head,
        "dtype": saved_dtype(folder),
        "difference": None,
        "tolerance": None,
        "why": None,
        **outcome(compare),
    }
    facts["warning"] = _warning(facts)
    facts["data"] = _digests(run, decided)
    add_card(folder, run, decided, facts)
    return {**facts, "bytes": sum(file.stat().st_size for file in folder.iterdir())}


def _from_checkpoint(
    decided: Decided, request: Mapping[str, Any], folder: Path, ids: list[list[int]], tokenizer: Any, say: Say
) -> tuple[torch.Tensor, int]:
    """The logits of the checkpoint's model and its step, after that model is written into the folder."""
    found = look(Path(request["checkpoint"]))
    if not isinstance(found, FoundCheckpoint):
        raise RunError(found.reason)
    say(progress={"what": f"rebuilding the model of step {found.manifest.step}"})
    model = rebuild(decided, found)
    trained = logits_of(model, ids)
    adapter = hasattr(model, "peft_config")
    write(model, gather(model, trainable_only=adapter), tokenizer, folder, decided)
    del model
    gc.collect()
    return trained, found.manifest.step


def _reference(
    run: RunDir, decided: Decided, ids: list[list[int]], say: Say
) -> tuple[torch.Tensor, int | None]:
    """The logits of the ranks' model at the end of training, and its step; for an older run, the logits of model/ and None."""
    if not (run.export / "config.json").is_file() and not is_adapter(run.export):
        raise RunError(
            f"{run.name} has no model yet; name a checkpoint with --checkpoint STEP, which python -m launcher checkpoints "
            f"{run.name} lists, or newest"
        )
    file = run.path / REFERENCE
    if file.is_file():
        kept = load_file(file)
        return kept["logits"], int(kept["step"])
    check_room(decided)
    say(progress={"what": "loading the trained model"})
    return logits_of(load_back(run.export, decided), ids), None


def _copy(source: Path, folder: Path, decided: Decided, dtype: torch.dtype | None, tokenizer: Any) -> None:
    """Copies the adapter or full model into `folder`, in `dtype` if one was requested."""
    shutil.rmtree(folder, ignore_errors=True)
    if dtype is not None and not is_adapter(source):
        check_room(decided, dtype.itemsize)
        model = open_whole(source, decided, dtype=str(dtype).removeprefix("torch."))
        model.config.use_cache = True
        _save(model, tokenizer, folder)
        return
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(NAME))
    if dtype is not None:
        weights = {name: tensor.to(dtype) for name, tensor in load_file(folder / _ADAPTER_WEIGHTS).items()}
        save_file(weights, folder / _ADAPTER_WEIGHTS, metadata={"format": "pt"})
    check(folder, expected=None)


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    check(folder, expected=None)


def _warning(facts: Mapping[str, Any]) -> str | None:
    """A warning about an export whose check failed, or a merged model that rounding changes about as much as training; else
    None."""
    if facts["verified"] == FAILED:
        return f"the check of the export failed, but the export was kept: {facts['why']}"
    effect = facts["effect"]
    if effect is None or facts["difference"] <= effect / 4:
        return None
    return (
        f"rounding to {facts['dtype']} changes the logits by {facts['difference']:.2g} of their norm, and training by "
        f"{effect:.2g}: a part of what was learned may be lost; use --dtype fp32, or export the adapter"
    )


def _digests(run: RunDir, decided: Decided) -> list[dict[str, Any]]:
    """The digests of the data as noted when the run ended, or of the files as they are now."""
    for event in reversed(run.read_events(Exported)):
        if event.data:
            return list(event.data)
    return digests(decided.plan)
