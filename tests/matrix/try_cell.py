"""One cell, for real: planned, trained on its ranks, and its export loaded back."""

import contextlib
import importlib
import io
import json
import math
import os
import re
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from launcher.__main__ import main
from launcher.methods.registry import find_method
from tests.matrix.cells import STEPS, Cell
from tests.support.runs import Finished
from tests.support.warm import Warm


@dataclass(frozen=True)
class Outcome:
    """The outcome of a cell."""

    cell: str
    result: str
    """passed, refused or failed."""
    note: str
    """The losses; the rule's number; or what was wrong."""
    seconds: float


def try_cell(cell: Cell, folder: Path, cache: Path, warm: Warm) -> Outcome:
    """Plans and trains it in `folder`, which holds the data."""
    begun = time.monotonic()
    result, note = _try(cell, folder, cache, warm)
    return Outcome(cell.name, result, note, round(time.monotonic() - begun, 1))


def _try(cell: Cell, folder: Path, cache: Path, warm: Warm) -> tuple[str, str]:
    code, said = plan_in(
        folder, ["+experiment=tiny", "cluster=local", f"cache_dir={cache}", *cell.overrides(folder)]
    )
    if code:
        rule = re.search(r"rule (\d+)", said)
        return ("refused", f"rule {rule[1]}") if rule else ("failed", said.strip())
    run = Finished(Path(json.loads(said)["run_dir"]))
    done = warm.run(run.path, timeout_s=90)
    wrong = _look(cell, run, done["codes"])
    return ("failed", wrong) if wrong else ("passed", " ".join(f"{loss:.3g}" for loss in run.losses))


def plan_in(folder: Path, overrides: list[str]) -> tuple[int, str]:
    """The exit code of a dry run typed in that folder, and what it said."""
    out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
    os.chdir(folder)
    sys.path.insert(0, str(folder))  # as python -m has it
    importlib.invalidate_caches()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*overrides, "dry_run=true", "--json"])
    finally:
        sys.path.remove(str(folder))
        os.chdir(before)
    return code, out.getvalue() if code == 0 else err.getvalue()


def _look(cell: Cell, run: Finished, codes: list[int]) -> str | None:
    """What is wrong with a run; None for nothing."""
    if any(codes):
        crashed = run.events("crashed")
        error = crashed[0]["error"] if crashed else run.logs()[-300:]
        return f"exit codes {codes}: {error}".replace("\n", " ")
    losses, metrics = run.losses, run.metrics()
    if len(losses) != STEPS or not all(math.isfinite(loss) for loss in losses):
        return f"losses {losses}"
    if find_method(cell.trainer).draws is not None:
        rewards = [line.get("reward") for line in metrics]
        if not all(isinstance(reward, float) and math.isfinite(reward) for reward in rewards):
            return f"rewards {rewards}"
    elif not statistics.mean(losses[1:]) < losses[0]:
        return f"the loss does not fall: {losses}"
    return _load(cell, run)


def _load(cell: Cell, run: Finished) -> str | None:
    """What is wrong with the export, loaded as its user would."""
    import torch
    from peft import AutoPeftModelForCausalLM, AutoPeftModelForSequenceClassification
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    plan = json.loads((run.path / "plan.json").read_text())
    own_head, adapter = find_method(cell.trainer).own_head, cell.plugin != "none"
    kinds: dict[tuple[bool, bool], Any] = {
        (False, False): AutoModelForCausalLM,
        (False, True): AutoPeftModelForCausalLM,
        (True, False): AutoModelForSequenceClassification,
        (True, True): AutoPeftModelForSequenceClassification,
    }
    outputs = len(plan["classes"]["names"]) if plan["classes"] else 1
    options = {"num_labels": outputs} if own_head and adapter else {}
    model = kinds[own_head, adapter].from_pretrained(run.path / "model", **options)
    logits = model(input_ids=torch.arange(10).unsqueeze(0)).logits
    if not bool(torch.isfinite(logits).all()):
        return "the export gives logits that are no numbers"
    names = ("lora_", "modules_to_save")
    trained = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if not adapter or any(part in name for part in names)
    )
    planned = plan["model"]["trainable_parameters"]
    return None if trained == planned else f"{trained} trained parameters, {planned} planned"


def to_line(outcome: Outcome) -> str:
    """The outcome as a line of the file of results."""
    return json.dumps(asdict(outcome))
