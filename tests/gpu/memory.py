"""The peak memory of a step against the plan, the peak of loading, and what `calibrate` says of a run."""

import itertools
import json
import subprocess
import sys
import time
from typing import Any

from tests.benchmarks.memory_cuda import LENGTHS, METHODS, MODELS
from tests.gpu.models import hollow_model, model, size_for
from tests.gpu.place import Place, launch, measured, variables, why
from tests.support.paths import ROOT
from tests.support.runs import command

NEEDS = {("1.5B", "full"): 40, ("8B", "full"): 130, ("8B", "lora"): 24}
"""Model and method -> GiB of GPU memory below which the case is not tried."""
WHOLE_70B_GIB = 44


def names() -> list[str]:
    """Model, method, checkpointing and length of each case."""
    return [
        f"{name} {method} {'checkpointing' if checkpointing else 'plain'} {length}"
        for name, method, checkpointing, length in itertools.product(
            MODELS, METHODS, (True, False), LENGTHS
        )
    ]  # fmt: skip


def try_one(place: Place, name: str) -> dict[str, Any]:
    """Planned and measured peak in GiB, the peak of loading, and the share by which the plan is off."""
    shape, method, checkpointing, length = name.split()
    place.need_gib(NEEDS.get((shape, method), 8), name)
    source = model(place, size_for(place, shape))
    plugins = [*METHODS[method], *(["gradient_checkpointing"] if checkpointing == "checkpointing" else [])]
    run, code, seconds, said = train(place, name, source, plugins, int(length), steps=4)
    if run is None:
        raise RuntimeError(why(run, said))
    planned = json.loads((run.path / "plan.json").read_text())["memory"]
    out = code != 0 and "out of memory" in str(run.events()).lower()
    if code and not out:
        raise RuntimeError(why(run, said))
    found = measured(run)
    total = (planned or {}).get("total")
    peak = found.get("peak_gib")
    return {
        "planned_gib": total, "measured_gib": peak, "reserved_gib": found.get("reserved_gib"),
        "load_gib": found.get("load_gib"), "context_gib": found.get("context_gib"), "out_of_memory": out,
        "host_gib": max(found.get("host_gib_by_rank") or [0.0]), "seconds": round(seconds, 1),
        "off": (total - peak) / peak if total and peak else None,
    }  # fmt: skip


def train(
    place: Place, name: str, source: Any, plugins: list[str], length: int, *, steps: int, rows: int = 16
) -> Any:
    """A run of that model over long texts; as launch() returns it."""
    folder = place.folder(f"memory {name}")
    text = json.dumps({"text": "abcdefgh " * (2 + length // 8)}) + "\n"
    (folder / "data.jsonl").write_text(text * rows)
    return launch(
        place, folder, f"plugin=[{','.join(plugins)}]", f"model.name_or_path={source}", "model.init=pretrained",
        "cluster.context_gib=0", "cluster.fragmentation=0",
        f"model.max_length={length}", "data.format=text", "data.path=data.jsonl",
        "data.eval_path=null", "data.check=off", "trainer.assistant_only_loss=false", f"trainer.max_steps={steps}",
        "batch.global_batch_size=1", "batch.micro_batch_size=1", "trainer.learning_rate=1e-5", "trainer.sample_prompt=null",
        *(["trainer.precision=bf16"] if place.device == "cuda" else []),
    )  # fmt: skip


LOADING = """
import json, resource, sys, time
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
folder, device = sys.argv[1:]
begun = time.monotonic()
quantization = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.bfloat16, bnb_4bit_quant_storage=torch.bfloat16)
AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, quantization_config=quantization, device_map={"": device})
gpu = device != "cpu"
print(json.dumps({"seconds": round(time.monotonic() - begun, 1),
    "load_peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if gpu else None,
    "loaded_gib": round(torch.cuda.memory_allocated() / 2**30, 2) if gpu else None,
    "host_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)}))
"""


def load_in_nf4(place: Place, name: str) -> dict[str, Any]:
    """The peak memory while a model is loaded in 4 bits, and the seconds; 70B from files that take no room on the disk."""
    place.need_gib(WHOLE_70B_GIB if name == "70B" else 12, f"{name} in 4 bits")
    folder = hollow_model(place, size_for(place, name))
    done = subprocess.run(
        [sys.executable, "-c", LOADING, str(folder), "cuda:0" if place.device == "cuda" else "cpu"],
        cwd=ROOT, env=variables(), capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.split())[-400:])
    return json.loads(done.stdout.splitlines()[-1])


def calibrate(place: Place, name: str) -> dict[str, Any]:
    """What `calibrate` would write into the cluster file after a LoRA run of that model."""
    place.need_gib(24 if name == "8B" else 8, name)
    begun = time.monotonic()
    source = model(place, size_for(place, name))
    plugins = ["lora", "gradient_checkpointing"]
    run, code, _, said = train(place, f"calibrate {name}", source, plugins, 2048, steps=30, rows=64)
    if run is None or code:
        raise RuntimeError(why(run, said))
    done = subprocess.run(
        command("calibrate", str(run.path), "--json"), cwd=run.path.parent, env=variables(), capture_output=True, text=True
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(" ".join((done.stdout + done.stderr).split())[-400:])
    found = json.loads(done.stdout)
    figures = {key: found[key] for key in ("cluster", "step_s", "achieved_tflops", "peak_gib")}
    return {**figures, "seconds": round(time.monotonic() - begun, 1)}
