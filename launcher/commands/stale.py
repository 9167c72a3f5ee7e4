"""python -m launcher stale [RUN]: whether the base model has changed on the hub since the run trained on it."""

import argparse
from typing import TypedDict

from launcher.after.base_model import Verdict, look_at_base
from launcher.cli.parser import add_run, chosen_run
from launcher.cli.verb import Verb
from launcher.errors import Exit, UsageError
from launcher.output import align, fields, print_json, print_text

_EXITS = {"same": Exit.OK, "moved": Exit.MOVED, "cannot_tell": Exit.CANNOT_TELL}


class _Of(TypedDict):
    run: str
    """name/date_time."""


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--timeout",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="seconds to wait for the hub (default: 10)",
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code: 0 for the same commit, 12 for another one, 13 for unknown."""
    if not 0 < options.timeout < float("inf"):
        raise UsageError(f"--timeout={options.timeout} must be a number of seconds above 0")
    run = chosen_run(options)
    verdict = look_at_base(run, options.timeout)
    if options.json:
        print_json({"run": run.name, **fields(verdict)})
    else:
        word = {"same": "unchanged", "moved": "changed", "cannot_tell": "unknown"}[verdict.verdict]
        lines = [("run", run.name), ("model", verdict.model), ("base model", f"{word}: {verdict.reason}")]
        print_text(align(lines))
    return _EXITS[verdict.verdict]


VERB = Verb(
    line="ask the hub whether the base model has changed since the run trained on it",
    about="Exit codes: 0 no, 12 yes, 13 unknown (no network, a local folder, "
    "an unknown revision; the reason is shown).",
    example="stale llama8b_lora --json",
    add=_add,
    run=_run,
    prints=(_Of, Verdict),
    group="model",
)
