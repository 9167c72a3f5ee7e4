"""python -m launcher reproduce RUN [key=value ...]: start a run again, as a new run with the same code and configuration."""

import argparse
import json
import subprocess
import sys
from typing import cast

from launcher.cli.launched import add_verbose
from launcher.cli.parser import add_trust, trust
from launcher.cli.verb import Verb
from launcher.config.kept_yaml import read_words
from launcher.errors import RunError
from launcher.launching.freeze.differ import present_differences
from launcher.launching.freeze.enter import command_with, enter
from launcher.launching.launch import LaunchReport
from launcher.launching.resume import config_dir_of
from launcher.output import print_json, say
from launcher.run import RunDir, find_run
from launcher.run.code import Code, read_code


class Reproduced(LaunchReport):
    """A run that was started again as a new run."""

    reproduces: str
    """The run that was started again."""
    differs: list[str]
    """What differs from its launch, although the code is the same: packages, Python, data."""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run dir, name/date_time or a run's name")
    add_trust(parser)
    add_verbose(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code of the launch."""
    run = find_run(options.runs_dir.absolute(), options.run)
    trust(run, options)
    code = read_code(run.code)
    if code is None:
        raise RunError(
            f"the code of {run.name} was not kept (freeze=false, or it did not wait in a queue); launch it again with the "
            f"arguments in {run.overrides}, and with freeze=true to keep the code"
        )
    words = [*_typed(run, code), *options.overrides, *(["--verbose"] if options.verbose else [])]
    differs = present_differences(code)
    commit = f" (commit {code.commit[:12]}{', with changes' if code.changed else ''})" if code.commit else ""
    say(f"{run.name} starts again as a new run, with the code of its launch{commit}")
    for line in differs:
        say(f"differs from its launch: {line}")
    if not options.json:
        enter(run, code, words)
    argv, environ = command_with(run, code, [*words, "--json"])
    done = subprocess.run(argv, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        launched = json.loads(done.stdout)
    except ValueError:
        launched = None
    if isinstance(launched, dict) and "run_dir" in launched:
        print_json({**cast("dict[str, object]", launched), "reproduces": run.name, "differs": differs})
    else:
        sys.stdout.write(done.stdout)
    return done.returncode


def _typed(run: RunDir, code: Code) -> list[str]:
    """The arguments of the run's launch."""
    if not run.overrides.is_file():
        raise RunError(f"{run.overrides} is missing, so the arguments of {run.name} are unknown")
    kept = [word for word in read_words(run.overrides) if not word.lstrip("+").startswith("dry_run=")]
    return ["launch", *config_dir_of(run, code), *kept]


VERB = Verb(
    line="start a run again as a new run, with the code that was kept at its launch",
    about="It says what differs from that launch: versions of packages and of Python, and data files. key=value changes a "
    "setting.",
    example="reproduce llama8b\nreproduce llama8b/2026-11-28_10-00-00 seed=1",
    add=_add,
    run=_run,
    prints=Reproduced,
    group="runs",
    overrides=True,
)
