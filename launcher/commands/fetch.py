"""python -m launcher fetch +experiment=NAME [key=value ...]: download a run's model and data into the cache; fetch RUN: bring
the results of a run from a cluster."""

import argparse
import re
from pathlib import Path

from launcher.cli.verb import Verb
from launcher.errors import Exit, RunError, UsageError
from launcher.launching.compose import compose
from launcher.launching.fetch import FetchedInputs, fetch_all
from launcher.output import print_json, print_text, warn
from launcher.remote.fetch import FetchedRun, bring
from launcher.run import find_run
from launcher.run.remote import RunElsewhere
from launcher.units import gibibytes, plural, size

_RUN = re.compile(r"[^+~-][^=]*")


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoints", action="store_true", help="with RUN: bring its checkpoints and kept code as well"
    )
    parser.add_argument(
        "--runs-dir", type=Path, default=Path("runs"), metavar="DIR",
        help="with RUN: folder of all runs (default: runs)",
    )  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    typed: list[str] = options.overrides
    if typed and _RUN.fullmatch(typed[0]):
        if len(typed) > 1:
            raise UsageError(f"fetch {typed[0]} {typed[1]}: name one run, or give the arguments of a launch")
        return _bring(options, typed[0])
    nothing = True
    for result in fetch_all(compose(options.overrides), quiet=options.json):
        nothing = False
        if options.json:
            print_json(result)
        else:
            new = gibibytes(result.get("bytes", 0))
            print_text(f"{', '.join(result['names'])}: in {result.get('cache')}, {new} of it new", flush=True)
    if nothing:
        none: FetchedInputs = {"names": []}
        print_json(none) if options.json else print_text("this run reads nothing from a hub")
    return Exit.OK


def _bring(options: argparse.Namespace, reference: str) -> int:
    try:
        run = find_run(options.runs_dir.absolute(), reference)
    except RunElsewhere as away:
        brought = bring(away, checkpoints=options.checkpoints)
    else:
        raise RunError(f"{run.name} is on this machine already, in {run.path}")
    if options.json:
        print_json(brought)
        return Exit.OK
    for name in brought["kept"]:
        warn(f"{name} is not overwritten: it is newer here than there, or is not a regular file here")
    print_text(
        f"{brought['run']}: {plural(brought['files'], 'new file')}, {size(brought['bytes'])}, in {brought['run_dir']}"
    )
    return Exit.OK


VERB = Verb(
    line="download what a run reads from a hub into the cache ($HF_HOME), or bring a run's results from a cluster",
    about="With the arguments of a launch it downloads the model and the datasets; then the nodes need no access to the hub. A "
    "run also fetches by itself, on one node before its ranks start. With RUN, a run that was launched with cluster.ssh, it "
    "brings the model, metrics, events, logs and reports into the run's folder here; a file that is newer here is kept.",
    example="fetch +experiment=llama8b_lora\nfetch llama8b_lora",
    add=_add,
    run=_run,
    prints={"": FetchedInputs, "with RUN": FetchedRun},
    group="launch",
    overrides=True,
    runs_dir=False,
)
