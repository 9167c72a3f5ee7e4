"""python -m launcher checkpoints [RUN]: what a run can go on from."""

import json
from datetime import datetime, timezone
from typing import Any

from launcher.checkpoint.commit import retain
from launcher.checkpoint.find import Broken, Found, committed, find_all
from launcher.checkpoint.keep import reasons_to_keep
from launcher.checkpoint.verify import first_difference
from launcher.clusters.base import RunState
from launcher.commands.options import add_run, chosen_run, make_parser
from launcher.errors import Exit, RunError
from launcher.run import RunDir
from launcher.status.state import read_status


def main(arguments: list[str]) -> int:
    """The exit code; 1 when --verify finds a committed checkpoint that is not what was written."""
    parser = make_parser(
        "checkpoints", "List a run's checkpoints.", "python -m launcher checkpoints llama8b_lora --verify"
    )
    add_run(parser)
    parser.add_argument("--verify", action="store_true", help="read every file and compare its digest")
    parser.add_argument("--prune", action="store_true", help="delete what the run's retention does not keep")
    options = parser.parse_args(arguments)
    run = chosen_run(options)
    save = run.read_json(run.plan).get("save") or {"keep_last": 1, "keep_every": 0, "keep_best": 0}
    keep = (int(save["keep_last"]), int(save["keep_every"]), int(save["keep_best"]))
    deleted = _prune(run, keep) if options.prune else []
    rows = _rows(run, keep, options.verify)
    if options.json:
        print(json.dumps({"run": run.name, "deleted": deleted, "checkpoints": rows}))
    else:
        _show(run, rows, deleted)
    return Exit.REFUSED if any(row["verified"] is False for row in rows) else Exit.OK


def _prune(run: RunDir, keep: tuple[int, int, int]) -> list[int]:
    status = read_status(run)
    if status.state in (RunState.PENDING, RunState.RUNNING):
        raise RunError(
            f"{run.name} is {status.state.value} and keeps its own checkpoints in order; use --prune once it has ended"
        )
    return retain(run.checkpoints, *keep)


def _rows(run: RunDir, keep: tuple[int, int, int], verify: bool) -> list[dict[str, Any]]:
    kept = reasons_to_keep([found.manifest for found in committed(run.checkpoints)], *keep)
    return [
        _broken(found) if isinstance(found, Broken) else _row(found, kept, verify)
        for found in find_all(run.checkpoints)
    ]


def _row(found: Found, kept: dict[int, list[str]], verify: bool) -> dict[str, Any]:
    wrong = first_difference(found, sorted(found.manifest.files)) if verify else None
    age = datetime.now(timezone.utc) - datetime.fromisoformat(found.manifest.time)
    return {
        "step": found.manifest.step,
        "path": str(found.path),
        "age_s": round(age.total_seconds(), 1),
        "bytes": found.manifest.bytes,
        "committed": True,
        "verified": wrong is None if verify else None,
        "for": kept.get(found.manifest.step, []),
        "why": found.manifest.why,
        "eval_loss": found.manifest.eval_loss,
        "error": wrong,
    }


def _broken(found: Broken) -> dict[str, Any]:
    return {
        "step": None,
        "path": str(found.path),
        "age_s": None,
        "bytes": None,
        "committed": False,
        "verified": None,
        "for": [],
        "why": None,
        "eval_loss": None,
        "error": found.reason,
    }


def _show(run: RunDir, rows: list[dict[str, Any]], deleted: list[int]) -> None:
    if deleted:
        print(f"deleted steps {', '.join(map(str, sorted(deleted)))}")
    if not rows:
        print(f"{run.name} has no checkpoints yet")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "step", "age", "size", "committed", "verified", "for", "saved at", "", box=None, pad_edge=False
    )
    for row in rows:
        verified = {True: "yes", False: "NO", None: "sizes"}[row["verified"]] if row["committed"] else "-"
        table.add_row(
            "-" if row["step"] is None else str(row["step"]),
            _age(row["age_s"]),
            "-" if row["bytes"] is None else f"{row['bytes'] / 2**20:.1f} MiB",
            "yes" if row["committed"] else "no",
            verified,
            ", ".join(row["for"]) or "-",
            row["why"] or "-",
            row["error"] or "",
        )
    Console(soft_wrap=True).print(table)


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
