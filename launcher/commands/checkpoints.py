"""python -m launcher checkpoints [RUN]: the checkpoints from which a run can resume."""

import argparse

from launcher.cli.parser import add_run, chosen_run
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import columns, print_json, print_text
from launcher.run import RunDir
from launcher.status.checkpoints import CheckpointRow, Checkpoints, list_checkpoints, prune, read_retention
from launcher.units import age, mebibytes


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--verify", action="store_true", help="read every file and compare its digest")
    parser.add_argument("--prune", action="store_true", help="delete what the run's retention does not keep")


def _run(options: argparse.Namespace) -> int:
    """The exit code; 1 if --verify finds a committed checkpoint that differs from what was written."""
    run = chosen_run(options)
    keep = read_retention(run)
    deleted = prune(run, keep) if options.prune else []
    rows = list_checkpoints(run, keep, verify=options.verify)
    if options.json:
        result: Checkpoints = {"run": run.name, "deleted": deleted, "checkpoints": rows}
        print_json(result)
    else:
        _show(run, rows, deleted)
    return Exit.REFUSED if any(row["verified"] is False for row in rows) else Exit.OK


def _show(run: RunDir, rows: list[CheckpointRow], deleted: list[int]) -> None:
    if deleted:
        print_text(f"deleted steps {', '.join(map(str, sorted(deleted)))}")
    if not rows:
        print_text(f"{run.name} has no checkpoints yet")
        return
    cells = [
        (
            "-" if row["step"] is None else str(row["step"]),
            "-" if row["age_s"] is None else age(row["age_s"]),
            "-" if row["bytes"] is None else mebibytes(row["bytes"]),
            "yes" if row["committed"] else "no",
            {True: "yes", False: "NO", None: "sizes"}[row["verified"]] if row["committed"] else "-",
            ", ".join(row["for"]) or "-",
            row["why"] or "-",
            row["error"] or "",
        )
        for row in rows
    ]
    print_text(columns(("step", "age", "size", "committed", "verified", "for", "saved at", ""), cells))


VERB = Verb(
    line="list a run's checkpoints, check them, or delete those that its retention does not keep",
    example="checkpoints llama8b_lora --verify",
    add=_add,
    run=_run,
    prints=Checkpoints,
    group="runs",
)
