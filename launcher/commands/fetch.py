"""python -m launcher fetch +experiment=NAME [key=value ...]: bring a run's model and data into the cache."""

import json

from launcher.errors import Exit
from launcher.launching.compose import compose
from launcher.launching.fetch import fetch_all
from launcher.units import gibibytes

HELP = """usage: python -m launcher fetch +experiment=NAME [key=value ...] [--json]

Fetch the model and the data sets that a run reads from a hub into the hub's cache ($HF_HOME), with the words that launch it.
Nodes need no way to the hub then. A run also fetches by itself, on one node before its ranks start.

example: python -m launcher fetch +experiment=llama8b_lora
"""


def main(arguments: list[str]) -> int:
    """The exit code."""
    if "--help" in arguments or "-h" in arguments:
        print(HELP, end="")
        return Exit.OK
    as_json = "--json" in arguments
    composed = compose([argument for argument in arguments if argument != "--json"])
    none = True
    for told in fetch_all(composed, quiet=as_json):
        none = False
        said = f"{', '.join(told['names'])}: in {told['cache']}, {gibibytes(told['bytes'])} of it new"
        print(json.dumps(told) if as_json else said, flush=True)
    if none:
        print(json.dumps({"names": []}) if as_json else "this run reads nothing from a hub")
    return Exit.OK
