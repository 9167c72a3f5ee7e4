"""python -m launcher fetch +experiment=NAME [key=value ...]: download a run's model and data into the cache."""

import argparse
import json

from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.launching.compose import compose
from launcher.launching.fetch import fetch_all
from launcher.units import gibibytes


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    nothing = True
    for result in fetch_all(compose(options.overrides), quiet=options.json):
        nothing = False
        text = f"{', '.join(result['names'])}: in {result['cache']}, {gibibytes(result['bytes'])} of it new"
        print(json.dumps(result) if options.json else text, flush=True)
    if nothing:
        print(json.dumps({"names": []}) if options.json else "this run reads nothing from a hub")
    return Exit.OK


VERB = Verb(
    line="download the model and the datasets that a run reads from a hub into the cache ($HF_HOME)",
    about="It takes the arguments of the launch. Then the nodes need no access to the hub. A run also fetches by itself, "
    "on one node before its ranks start.",
    example="fetch +experiment=llama8b_lora",
    run=_run,
    group="launch",
    overrides=True,
    runs_dir=False,
)
