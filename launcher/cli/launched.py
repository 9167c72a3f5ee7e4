"""What the verbs that start a run share: what they print of it, and following a run that this machine carries."""

import argparse
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launcher import environment
from launcher.frozen_dataclass import frozen_dataclass
from launcher.launching.choose_shape import shape_rows
from launcher.launching.composed import Composed
from launcher.launching.data_gate import check_data
from launcher.launching.launch import Launched, notes_of
from launcher.launching.plan_warnings import extent_dict, plan_notes, warnings_of
from launcher.launching.summary import describe
from launcher.output import as_json, print_json, print_text
from launcher.run import RunDir, write_text

_ANSWER = os.environ.pop(environment.ANSWER, None)
"""The file in which a launch that was sent by ssh leaves its outcome, or None. The variable is removed from the environment,
which jobs inherit."""


@frozen_dataclass
class Shown:
    """How a launch is shown."""

    json: bool
    verbose: bool = False


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Adds -v."""
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show every decision and estimate of the plan as well"
    )


def shown(options: argparse.Namespace) -> Shown:
    """How these options request that a launch is shown."""
    return Shown(json=options.json, verbose=options.verbose)


def tell(composed: Composed, launched: Launched, how: Shown, warnings: Sequence[str] | None = None) -> None:
    """Prints the outcome of a launch; its `warnings` have been printed before, and are derived again if they are not given."""
    config, plan = composed.config, launched.plan
    found = warnings_of(composed, plan, check_data(config)) if warnings is None else list(warnings)
    shapes = shape_rows(composed.compared)
    result = launched.report(notes_of(composed, plan), extent_dict(config, plan), found, shapes)
    if how.json:
        print_json(result)
    else:
        if how.verbose:
            from launcher.launching.plan_text import plan_text  # imported here: only -v shows it

            print_text(f"{plan_text(launched.run, plan, config, plan_notes(composed, plan))}\n")
        print_text(describe(launched.run, plan, result, config, verbose=how.verbose), flush=True)
    answer(result)  # last, because a launch counts as reported once this file is there


def answer(report: Any) -> None:
    """Writes the outcome of a launch into the file that a machine which launches by ssh reads, if there is one."""
    if _ANSWER:
        write_text(Path(_ANSWER), as_json(report))


def follow(run: RunDir, process: subprocess.Popen[bytes], as_json: bool) -> int:
    """The run's exit code, once its job script on this machine has ended."""
    from launcher.status.follow import follow_process  # imported here: a launch that only queues stays fast

    return follow_process(run, process, quiet=as_json)
