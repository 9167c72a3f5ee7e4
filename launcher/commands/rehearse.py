"""python -m launcher rehearse +experiment=NAME [key=value ...]: a short copy of a run, signalled, killed and requeued."""

import argparse
from typing import TypedDict

from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import print_json, print_text
from launcher.rehearsal.checks import Check, rehearse
from launcher.rehearsal.copy import Settings


class RehearsalResult(TypedDict):
    """The outcome of a rehearsal."""

    run: str
    """name/date_time of the short copy that was tested."""
    run_dir: str
    """Absolute path of its folder."""
    passed: bool
    """Whether no check failed."""
    checks: list[Check]
    """Every check, in its order."""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--save-every", type=int, default=5, metavar="STEPS", help="steps between two saves (default: 5)"
    )
    parser.add_argument(
        "--time", default="00:30:00", help="time limit of its job, unless the run's is shorter (default: 00:30:00)"
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=float, default=900.0, metavar="S",
        help="timeout of a check in seconds, not counting time in the queue (default: 900)",
    )  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    """The exit code: 0 if every check passed."""
    settings = Settings(save_every=options.save_every, time=options.time, patience_s=options.patience)

    def say(text: str) -> None:
        if not options.json:
            print_text(text, flush=True)

    done = rehearse(
        options.overrides, settings,
        lambda run, plan: say(f"rehearsal {run.name} on {plan.cluster}; no other run is touched"),
        lambda check: say(check.line()),
    )  # fmt: skip
    if options.json:
        result: RehearsalResult = {
            "run": done.run.name,
            "run_dir": str(done.run.path),
            "passed": not done.failed,
            "checks": list(done.checks),
        }
        print_json(result)
    outcome = f"failed: {', '.join(done.failed)}" if done.failed else "all passed"
    say(f"{outcome}; its run dir is {done.run.path}")
    return Exit.FAILED if done.failed else Exit.OK


VERB = Verb(
    line="test on this cluster whether a run survives a killed rank, its time limit, a requeue and a cancel",
    about="A short copy of the run, with the same model, strategy and nodes, goes through each of them. Exit code 0 means that "
    "it resumed each time from its checkpoint. It has its own run dir (rehearse-NAME). Without a queue, "
    "the checks that need one are skipped.",
    example="rehearse +experiment=llama8b_lora resources.nodes=2",
    add=_add,
    run=_run,
    prints=RehearsalResult,
    group="launch",
    overrides=True,
    runs_dir=False,
)
