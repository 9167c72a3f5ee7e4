"""Tokens a second of ours beside a bare loop and trl, with MFU and HFU of a matrix product in the same run."""

import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.memory_cuda import MODELS
from tests.benchmarks.throughput import CASES, Case, measure, utilization
from tests.gpu.models import model
from tests.gpu.place import Place

PEERS = ("bare", "trl_packing", "trl")
NEEDS = {"0.5B full": 36, "1.5B lora": 24, "1.5B full": 76, "8B lora": 76}
"""Case -> GiB of GPU memory for two arms side by side, below which it is not tried."""
ROUNDS = 5


def names() -> list[str]:
    """Model, what is trained, and the peer; two arms share the GPU in turns, since four of 8B do not fit."""
    trained = [
        f"{name} {kind}" for name in MODELS for kind in ("lora", "full") if (name, kind) != ("8B", "full")
    ]
    return [f"{one} {peer}" for one in trained for peer in PEERS]  # fmt: skip


def try_one(place: Place, name: str) -> dict[str, Any]:
    """Tokens a second of both arms, and MFU and HFU."""
    shape, kind, peer = name.split()
    place.need_gib(NEEDS.get(f"{shape} {kind}", 12), name)
    case = CASES[0]
    if place.device == "cuda":
        where = [f"model.name_or_path={model(place, shape)}", "model.init=pretrained"]
        case = Case(
            name=name, overrides=["+experiment=tiny", f"plugin=[{'lora' if kind == 'lora' else ''}]", *where],
            max_length=4096, rows=2, lora=kind == "lora", precision="bf16", turn=5, words=5.5,
        )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=place.out) as folder:
        rounds = ROUNDS if place.device == "cuda" else 1
        arms, flops, peak = measure(case, Path(folder), rounds, "wall", (peer, "ours"))
    rates = {arm.name: arm.rate for arm in arms}
    used = {arm.name: utilization(arm, flops, peak) for arm in arms}
    return {
        "tokens_per_s": {arm: round(rate, 1) for arm, rate in rates.items()},
        "ours_is": round(rates["ours"] / rates[peer], 3),
        "mfu": {arm: mfu for arm, (mfu, _) in used.items() if mfu},
        "hfu": {arm: hfu for arm, (_, hfu) in used.items() if hfu},
        "gemm_tflops": round(peak / 1e12, 3),
        "turns": {arm.name: [round(one, 4) for one in arm.seconds] for arm in arms},
    }
