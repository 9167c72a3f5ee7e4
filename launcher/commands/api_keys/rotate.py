"""python -m launcher api-keys rotate NAME: a new key, which replaces the one before."""

import argparse

from launcher.api.keys import ApiKey, add_data_dir, open_store, print_key
from launcher.api.tenants import rotate_key
from launcher.cli.verb import Verb


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="as api-keys list shows it")
    add_data_dir(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    return print_key(options, rotate_key(open_store(options), options.name))


VERB = Verb(
    line="print a new key for a user; the one before is refused from now on",
    example="api-keys rotate anna --data-dir ~/api",
    add=_add,
    run=_run,
    prints=ApiKey,
    runs_dir=False,
)
