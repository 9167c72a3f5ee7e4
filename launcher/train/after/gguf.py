"""The verb export --gguf: the model in one folder, converted by llama.cpp's converter, read back and compared."""

import gc
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from launcher.errors import RunError
from launcher.plugins.decide import Decided, reread_run
from launcher.processes import death_with_parent
from launcher.protocol.work.requests import MakeExport, MakeGguf
from launcher.protocol.work.results import ExportedGguf, Say, WorkProgress
from launcher.run import RunDir
from launcher.train.after.card import NAME, add_card, table
from launcher.train.after.compare import difference, logits_of, prompts
from launcher.train.after.export import replace_folder
from launcher.train.after.export_run import make, warning
from launcher.train.after.gguf_read import Tensors, open_gguf, read_tensors
from launcher.train.after.load_back import open_whole
from launcher.train.free_memory import fits
from launcher.train.model import load_tokenizer

LOGITS = {"f32": 1e-3, "f16": 1e-2, "bf16": 5e-2, "q8_0": 0.1, "q6_k": 0.2}
"""Largest difference of the logits that rounding to a type explains; as in compare.py, several times that of one weight."""
_COARSE = 0.7
"""The same for the other types, which round to 2 to 5 bits."""
_FLOAT32 = 4


def answer(request: MakeGguf, say: Say) -> ExportedGguf:
    """The file and how it was checked; RunError, without a finished folder, if it cannot be made or holds another model."""
    run, target = RunDir(Path(request.run_dir)), Path(request.to)
    decided = reread_run(run)
    target.parent.mkdir(parents=True, exist_ok=True)
    part, model, adapter = (
        target.with_name(f".{target.name}.{name}") for name in ("part", "model", "adapter")
    )
    try:
        whole = MakeExport(
            run_dir=request.run_dir,
            checkpoint=request.checkpoint,
            to=str(model),
            merged=decided.plan.adapter is not None,
            dtype="fp32" if request.type == "f32" else None,
            force=False,
        )
        facts = make(run, decided, whole, model, adapter, say)
        if facts.why:
            raise RunError(
                f"the model of {run.name} is not what was trained, so it was not converted: {facts.why}"
            )
        told = warning(facts, model)
        gc.collect()
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        file = part / f"{run.path.parent.name}-{request.type}.gguf"
        _convert(model, file, request, say)
        say(WorkProgress(what="reading it back"))
        tensors = read_tensors(file, model)
        logits = _check(tensors, file, model, request.type, decided)
        add_card(part, run, decided, facts)
        _add_to_card(part / NAME, file, request.type, tensors, logits)
        if target.exists() and not request.force:
            raise RunError(f"{target} exists; give --force to overwrite it, or another folder with --to")
        replace_folder(part, target)
    finally:
        for folder in (part, model, adapter):
            shutil.rmtree(folder, ignore_errors=True)
    return ExportedGguf(
        run=run.name,
        path=str(target),
        file=str(target / file.name),
        type=request.type,
        step=facts.step,
        bytes=(target / file.name).stat().st_size,
        tensors=tensors.count,
        tensors_compared=tensors.compared,
        difference=tensors.difference,
        logits_difference=logits,
        warning=told,
    )


def _convert(model: Path, file: Path, request: MakeGguf, say: Say) -> None:
    say(WorkProgress(what="converting"))
    if request.quantizer is None:
        _run([*request.converter, str(model), "--outfile", str(file), "--outtype", request.type], file)
        return
    between = file.with_suffix(".f16")
    _run([*request.converter, str(model), "--outfile", str(between), "--outtype", "f16"], between)
    say(WorkProgress(what=f"rounding to {request.type}"))
    _run([request.quantizer, str(between), str(file), request.type.upper()], file)
    between.unlink()


def _run(words: Sequence[str], file: Path) -> None:
    """RunError with the program's last line if it fails, or has not written the file."""
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        preexec_fn=death_with_parent(),
    )
    if done.returncode == 0 and file.is_file():
        return
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    program = next(word for word in words if not word.endswith(("python", "python3")))
    said = lines[-1] if lines else f"exit code {done.returncode}"
    raise RunError(f"{program} could not convert the model: {said}")


def _check(found: Tensors, file: Path, model: Path, kind: str, decided: Decided) -> float | None:
    """The difference of the logits, None if it cannot be measured; RunError if values are missing or differ."""
    logits = _logits_difference(file, model, decided)
    limit = LOGITS.get(kind, _COARSE)
    if logits is not None and logits > limit:
        raise RunError(
            f"the logits of the GGUF file differ from the model's by {logits:.2g} of their norm, and rounding to {kind} "
            f"explains only {limit:g}; nothing was kept; use a converter of a version that knows this model"
        )
    if logits is None:
        _check_tensors(found)
    return logits


def _check_tensors(found: Tensors) -> None:
    """RunError for a model that transformers cannot open as GGUF, if a tensor is missing or has other values."""
    if found.values < found.expected:
        raise RunError(
            f"the GGUF file holds {found.values:,} values, but the model {found.expected:,}; nothing was kept; use a converter "
            "of a version that knows this model"
        )
    if found.wrong:
        raise RunError(
            f"{found.wrong[0]} in the GGUF file differs from the tensor in the model; nothing was kept; use a converter of a "
            "version that knows this model"
        )


def _logits_difference(file: Path, model: Path, decided: Decided) -> float | None:
    """The difference of the logits; None if transformers cannot open the file, or the memory is too small."""
    size = sum(one.stat().st_size for one in model.glob("*.safetensors"))
    if not fits(2 * _FLOAT32 * size):  # the weights have 2 bytes or 4
        return None
    opened = open_gguf(file)
    if opened is None:
        return None
    ids = prompts(load_tokenizer(decided.config.model, decided.plan.facts, decided.config.seed))
    found = logits_of(opened, ids)
    del opened
    gc.collect()
    return difference(found, logits_of(open_whole(model, decided, dtype="float32"), ids))


def _add_to_card(card: Path, file: Path, kind: str, tensors: Tensors, logits: float | None) -> None:
    rows = [("file", f"`{file.name}`"), ("type", kind), ("tensors", str(tensors.count))]
    if logits is not None:
        rows.append(("difference of the logits from the model's", f"{logits:.2g} of their norm"))
    card.write_text(f"{card.read_text(encoding='utf-8')}\n{table('## GGUF', rows)}\n", encoding="utf-8")
