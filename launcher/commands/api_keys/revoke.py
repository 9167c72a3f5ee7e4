"""python -m launcher api-keys revoke NAME: refuse a user's key."""

import argparse

from launcher.api.keys import ApiRevoked, add_data_dir, open_store
from launcher.api.tenants import revoke
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.output import print_json, print_text


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="as api-keys list shows it")
    add_data_dir(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    revoke(open_store(options), options.name)
    if options.json:
        done: ApiRevoked = {"name": options.name}
        print_json(done)
    else:
        print_text(f"the key of {options.name} is refused from now on; its files, jobs and models stay")
    return Exit.OK


VERB = Verb(
    line="refuse a user's key from now on; `rotate` gives a new one",
    example="api-keys revoke anna --data-dir ~/api",
    add=_add,
    run=_run,
    prints=ApiRevoked,
    runs_dir=False,
)
