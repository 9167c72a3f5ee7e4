"""The verb export: a run's adapter, merged model or full model in a separate folder, loaded back and compared first."""

import dataclasses
import gc
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from launcher.checkpoint.folders import Broken, FoundCheckpoint, look
from launcher.errors import RunError
from launcher.methods.registry import find_method
from launcher.plugins.decide import Decided, reread_run
from launcher.protocol.work.requests import MakeExport
from launcher.protocol.work.results import ExportDone, ExportedModel, Say, WorkProgress
from launcher.run import RunDir
from launcher.run.events.results import Exported
from launcher.train.after.card import NAME, add_card, digests
from launcher.train.after.checked import FAILED, ExportFacts, outcome
from launcher.train.after.compare import check_same, difference, logits_of, prompts, tolerance
from launcher.train.after.export import REFERENCE, check, formats, gather, replace_folder, write
from launcher.train.after.load_back import is_adapter, load_back, open_whole, saved_dtype
from launcher.train.after.merge import merge
from launcher.train.after.rebuild import check_room, rebuild
from launcher.train.model import load_tokenizer

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_ADAPTER_WEIGHTS = "adapter_model.safetensors"


def answer(request: MakeExport, say: Say) -> ExportDone:
    """The path of the export and how it was checked; RunError, without a finished folder, if it cannot be made."""
    run = RunDir(Path(request.run_dir))
    target = Path(request.to)
    decided = reread_run(run)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary, adapter = (target.with_name(f".{target.name}.{part}") for part in ("part", "adapter"))
    try:
        facts = make(run, decided, request, temporary, adapter, say)
        if target.exists() and not request.force:
            raise RunError(f"{target} exists; give --force to overwrite it, or another folder with --to")
        replace_folder(temporary, target)
    finally:
        for folder in (temporary, adapter):
            shutil.rmtree(folder, ignore_errors=True)
    exported = ExportedModel(
        run=run.name,
        path=str(target),
        kind="merged" if request.merged else "adapter" if is_adapter(target) else "model",
        step=facts.step,
        dtype=saved_dtype(target),
        bytes=sum(file.stat().st_size for file in target.iterdir()),
        verified=facts.verified,
        difference=facts.difference,
        tolerance=facts.tolerance,
        why=facts.why,
        effect=facts.effect,
        answers=not find_method(decided.plan.trainer).own_head,
        warning=warning(facts, target),
        data=tuple(dict(one) for one in facts.data),
    )
    return ExportDone(export=exported)


def make(
    run: RunDir, decided: Decided, request: MakeExport, folder: Path, adapter: Path, say: Say
) -> ExportFacts:
    """The facts of the export, after it is written to `folder`; `adapter` is a folder for an intermediate adapter."""
    source = run.export
    dtype = DTYPES[request.dtype] if request.dtype else None
    if request.merged:
        dtype = dtype or getattr(torch, decided.plan.weights_dtype)
    converted = request.merged or (request.checkpoint is None and not is_adapter(source))
    check_room(decided, dtype.itemsize if dtype and converted else None)
    tokenizer = load_tokenizer(decided.config.model, decided.plan.facts, decided.config.seed)
    ids = prompts(tokenizer)
    if request.checkpoint is not None:
        found = look(Path(request.checkpoint))
        source, trained, step = adapter, *_from_checkpoint(decided, found, adapter, ids, tokenizer, say)
    else:
        trained, step = _reference(run, decided, ids, say)
    effect: float | None = None
    if request.merged:
        if not is_adapter(source):
            raise RunError(
                f"{run.name} trained every weight, so its export is already a full model; leave --merged out"
            )
        say(WorkProgress(what="merging the adapter into its base"))
        assert dtype is not None
        merged, before = merge(source, decided, dtype, ids)
        effect = difference(before, trained)
        say(WorkProgress(what="writing"))
        _save(merged, tokenizer, folder)
        del merged
        gc.collect()
    else:
        say(WorkProgress(what="writing"))
        _copy(source, folder, decided, dtype, tokenizer)
    say(WorkProgress(what="loading it back"))

    def compare() -> ExportFacts:
        again = load_back(folder, decided)
        limit = tolerance(*formats(decided.plan, again, folder, source), *([str(dtype)] if dtype else []))
        apart = check_same(logits_of(again, ids), trained, limit)
        return ExportFacts(verified="logits", difference=apart, tolerance=limit)

    facts = dataclasses.replace(outcome(compare), step=step, effect=effect, data=_digests(run, decided))
    add_card(folder, run, decided, facts)
    return facts


def _from_checkpoint(
    decided: Decided,
    found: FoundCheckpoint | Broken,
    folder: Path,
    ids: list[list[int]],
    tokenizer: Any,
    say: Say,
) -> tuple[torch.Tensor, int]:
    """The logits of the checkpoint's model and its step, after that model is written into the folder."""
    if not isinstance(found, FoundCheckpoint):
        raise RunError(found.reason)
    say(WorkProgress(what=f"rebuilding the model of step {found.manifest.step}"))
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
    say(WorkProgress(what="loading the trained model"))
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


def warning(facts: ExportFacts, folder: Path) -> str | None:
    """A warning about an export whose check failed, or a merged model that rounding changes about as much as training; else
    None."""
    if facts.verified == FAILED:
        return f"the check of the export failed, but the export was kept: {facts.why}"
    if facts.effect is None or facts.difference is None or facts.difference <= facts.effect / 4:
        return None
    return (
        f"rounding to {saved_dtype(folder)} changes the logits by {facts.difference:.2g} of their norm, and training by "
        f"{facts.effect:.2g}: a part of what was learned may be lost; use --dtype fp32, or export the adapter"
    )


def _digests(run: RunDir, decided: Decided) -> Sequence[Mapping[str, Any]]:
    """The digests of the data as noted when the run ended, or of the files as they are now."""
    for event in reversed(run.read_events(Exported)):
        if event.data:
            return event.data
    return digests(decided.plan)
