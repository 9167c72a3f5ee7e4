"""python -m launcher api-keys rotate NAME: another key instead of the one before."""

import argparse

from launcher.api.keys import ApiKey, add_data_dir, open_store
from launcher.api.tenants import rotate_key
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import print_json, print_text


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="as api-keys list shows it")
    add_data_dir(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    made: ApiKey = {"name": options.name, "key": rotate_key(open_store(options), options.name)}
    print_json(made) if options.json else print_text(made["key"])
    return Exit.OK


VERB = Verb(
    line="print another key for a user; the one before is refused from now on",
    example="api-keys rotate anna --data-dir ~/api",
    add=_add,
    run=_run,
    prints=ApiKey,
    runs_dir=False,
)
