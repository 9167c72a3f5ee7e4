"""One JSON and one page of tables of all results."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HOW = {
    "cuda": "Measured on the GPU that the first table names, by `python -m tests.gpu` ([how](../howto/gpu_check.md)).",
    "cpu": "Tried on a CPU with `--device cpu`: this shows that the kit works, and says nothing about a GPU.",
}


def gather(out: Path, device: str) -> dict[str, Any]:
    """All results so far: device, and group -> name -> result."""
    found: dict[str, Any] = {}
    for file in sorted((out / "pieces").glob("*.json")):
        one = json.loads(file.read_text())
        found.setdefault(one["group"], {})[one["name"]] = one
    return {"device": device, "groups": found}


def make_page(results: Mapping[str, Any]) -> str:
    """The page in Markdown."""
    groups = results["groups"]
    parts = ["# On a GPU", HOW[results["device"]], _counts(groups)]
    for group, title, make in (
        ("machine", "The machine", _machine),
        ("smoke", "What trains and exports", _smoke),
        ("memory", "Peak memory against the plan", _memory),
        ("load", "Loading in 4 bits", _load),
        ("throughput", "Tokens a second", _throughput),
        ("saves", "Saves and restarts", _saves),
        ("calibrate", "What `calibrate` writes", _calibrate),
    ):
        if group in groups:
            parts += [f"## {title}", make(groups[group])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _counts(groups: Mapping[str, Any]) -> str:
    every = [one for group in groups.values() for one in group.values()]
    count = {
        status: sum(one["status"] == status for one in every) for status in ("done", "failed", "skipped")
    }
    return f"{count['done']} pieces are done, {count['failed']} have failed, {count['skipped']} were skipped."


def _table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    if not rows:
        return ""
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _figures(one: Mapping[str, Any]) -> Mapping[str, Any]:
    return one.get("figures") or {}


def _end(one: Mapping[str, Any]) -> str:
    """The status of a piece without figures, with the reason."""
    return "" if one["status"] == "done" else f"{one['status']}: {one.get('why', '')}"


def _machine(found: Mapping[str, Any]) -> str:
    rows: list[tuple[Any, ...]] = []
    for one in found.values():
        for key, value in _figures(one).items():
            if isinstance(value, Mapping):
                value = ", ".join(f"{name} {version}" for name, version in value.items())
            rows.append((key.replace("_", " "), value))
        rows += [("", _end(one))] if _end(one) else []
    return _table(("what", "value"), rows)


def _smoke(found: Mapping[str, Any]) -> str:
    rows: list[tuple[Any, ...]] = []
    for name, one in found.items():
        here = _figures(one)
        rows.append(
            (name, here.get("result") or one["status"], here.get("why") or one.get("why"), here.get("seconds"),
             here.get("verified"), here.get("difference"))
        )  # fmt: skip
    order = {"failed": 0, "passed": 1, "refused": 2, "skipped": 3}
    rows.sort(key=lambda row: order.get(row[1], 4))
    return _table(("case", "result", "why", "seconds", "export checked by", "difference of logits"), rows)


def _memory(found: Mapping[str, Any]) -> str:
    rows: list[tuple[Any, ...]] = []
    offs: list[float] = []
    for name, one in found.items():
        here = _figures(one)
        off = here.get("off")
        offs += [] if off is None else [off]
        peak = "out of memory" if here.get("out_of_memory") else here.get("measured_gib")
        percent = None if off is None else f"{off:+.1%}"
        rows.append(
            (name, here.get("planned_gib"), peak, percent, here.get("load_gib"), here.get("host_gib"), _end(one))
        )  # fmt: skip
    table = _table(("case", "planned GiB", "measured GiB", "off", "loading GiB", "host GiB", ""), rows)
    if not offs:
        return table
    worst = max(offs, key=abs)
    middle = statistics.median(map(abs, offs))
    return f"Off by {middle:.1%} in the median and {worst:+.1%} at worst of {len(offs)} cases.\n\n{table}"


def _load(found: Mapping[str, Any]) -> str:
    keys = ("load_peak_gib", "loaded_gib", "host_gib", "seconds")
    rows = [(name, *(_figures(one).get(key) for key in keys), _end(one)) for name, one in found.items()]
    return _table(("model", "peak GiB", "loaded GiB", "host GiB", "seconds", ""), rows)


def _throughput(found: Mapping[str, Any]) -> str:
    rows: list[tuple[Any, ...]] = []
    for name, one in found.items():
        here = _figures(one)
        rates = here.get("tokens_per_s", {})
        peer = next((arm for arm in rates if arm != "ours"), "")
        rows.append(
            (name, rates.get("ours"), rates.get(peer), here.get("ours_is"), here.get("mfu", {}).get("ours"),
             here.get("hfu", {}).get("ours"), here.get("gemm_tflops"), _end(one))
        )  # fmt: skip
    columns = (
        "case and peer",
        "ours, tokens/s",
        "peer, tokens/s",
        "ours is x",
        "MFU",
        "HFU",
        "GEMM TFLOP/s",
        "",
    )
    return _table(columns, rows)


def _saves(found: Mapping[str, Any]) -> str:
    rows: list[tuple[Any, ...]] = []
    for name, one in found.items():
        here = _figures(one)
        blocked, total = here.get("blocked_s") or [], here.get("total_s") or []
        rows.append(
            (name, here.get("bytes"), statistics.median(blocked) if blocked else None, max(blocked, default=None),
             statistics.median(total) if total else None, here.get("restart_s"), here.get("warm"), _end(one))
        )  # fmt: skip
    columns = (
        "case",
        "bytes",
        "waits, median s",
        "waits, worst s",
        "durable after s",
        "kill to step s",
        "warm",
        "",
    )
    return _table(columns, rows)


def _calibrate(found: Mapping[str, Any]) -> str:
    rows: list[tuple[Any, ...]] = []
    for name, one in found.items():
        here = _figures(one)
        values = ", ".join(f"{key}: {value:g}" for key, value in here.get("cluster", {}).items() if value)
        rows.append((name, values, here.get("step_s"), here.get("achieved_tflops"), _end(one)))
    return _table(("model, LoRA", "cluster file", "step s", "TFLOP/s", ""), rows)
