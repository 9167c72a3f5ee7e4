"""The outcomes of all cells as docs/measured/matrix.md."""

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from tests.matrix.cells import PLUGINS, STEPS, STRATEGIES, TRAINERS, Cell, all_cells

_COLUMNS = [(strategy, ranks) for strategy in STRATEGIES for ranks in (1, 2)]
_PACKAGES = ("torch", "transformers", "trl", "peft", "deepspeed", "accelerate", "bitsandbytes")


def make_table(known: Mapping[str, Mapping[str, Any]]) -> str:
    """The page; a cell without an outcome is empty."""
    results = [known.get(cell.name, {}).get("result", "not run") for cell in all_cells()]
    counts = Counter(results)
    told = ", ".join(f"{counts[name]} {name}" for name in ("passed", "refused", "failed", "not run"))
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    lines = [
        "# Methods, plugins, strategies and ranks",
        "",
        "This page is written by `make matrix`, which runs every cell without an outcome (`--again`: all). A cell is a run of",
        f"the tiny model on CPU ranks, {STEPS} steps: its losses are finite and fall (grpo: losses and rewards are finite),",
        "every rank agrees with the plan, and its export loads back with peft or transformers, gives finite logits and",
        "has the planned number of trained parameters. `ok` is followed by the first and the last loss; `rule N`: refused in",
        "the plan, see `python -m launcher rules`; an empty cell has not been run yet.",
        "",
        f"{told}, of {len(results)}. {versions}.",
        "",
        "| method | plugins | " + " | ".join(f"{strategy} {ranks}" for strategy, ranks in _COLUMNS) + " |",
        "|---|---|" + "---|" * len(_COLUMNS),
    ]
    failures: list[str] = []
    for trainer in TRAINERS:
        for checkpointing in (False, True):
            for plugin in PLUGINS:
                row = [Cell(trainer, plugin, checkpointing, strategy, ranks) for strategy, ranks in _COLUMNS]
                shown = [_show(known.get(cell.name), failures) for cell in row]
                lines.append(f"| {trainer} | {row[0].plugins} | " + " | ".join(shown) + " |")
    if failures:
        lines += ["", "What failed:", "", *failures]
    return "\n".join(lines) + "\n"


def _show(outcome: Mapping[str, Any] | None, failures: list[str]) -> str:
    if outcome is None:
        return ""
    if outcome["result"] == "refused":
        return str(outcome["note"])
    if outcome["result"] == "failed":
        failures.append(f"{len(failures) + 1}. {outcome['cell']}: {outcome['note'][:300]}")
        return f"failed ({len(failures)})"
    losses = outcome["note"].split()
    return f"ok {float(losses[0]):.3g} {float(losses[-1]):.2g}"
