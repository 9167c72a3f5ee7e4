"""python -m launcher fetch +experiment=NAME [key=value ...]: download a run's model and data into the cache."""

import argparse

from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.launching.compose import compose
from launcher.launching.fetch import Fetched, fetch_all
from launcher.output import print_json
from launcher.units import gibibytes


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    nothing = True
    for result in fetch_all(compose(options.overrides), quiet=options.json):
        nothing = False
        if options.json:
            print_json(result)
        else:
            new = gibibytes(result.get("bytes", 0))
            print(f"{', '.join(result['names'])}: in {result.get('cache')}, {new} of it new", flush=True)
    if nothing:
        none: Fetched = {"names": []}
        print_json(none) if options.json else print("this run reads nothing from a hub")
    return Exit.OK


VERB = Verb(
    line="download the model and the datasets that a run reads from a hub into the cache ($HF_HOME)",
    about="It takes the arguments of the launch. Then the nodes need no access to the hub. A run also fetches by itself, "
    "on one node before its ranks start.",
    example="fetch +experiment=llama8b_lora",
    run=_run,
    prints=Fetched,
    group="launch",
    overrides=True,
    runs_dir=False,
)
