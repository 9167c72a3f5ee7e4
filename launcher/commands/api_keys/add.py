"""python -m launcher api-keys add NAME: a key for a new user of serve-api."""

import argparse

from launcher.api.keys import ApiKey, add_data_dir, open_store, print_key
from launcher.api.tenants import Quota, add_tenant
from launcher.cli.parser import positive
from launcher.cli.verb import Verb
from launcher.errors import UsageError


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        metavar="NAME",
        help="lower-case letters, digits and hyphens; a part of the names of its models",
    )
    add_data_dir(parser)
    parser.add_argument(
        "--mib",
        type=positive,
        default=1024,
        metavar="N",
        help="the most MiB that all its files may have (default: 1024)",
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        default=100,
        metavar="N",
        help="the most jobs that may wait or run at once (default: 100)",
    )
    parser.add_argument(
        "--gpu-hours",
        type=float,
        metavar="H",
        help="the most GPU-hours of all its jobs together (default: no limit); on CPUs, hours of ranks",
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    if options.gpu_hours is not None and not 0 < options.gpu_hours < float("inf"):
        raise UsageError(f"--gpu-hours {options.gpu_hours:g} must be above 0; leave it out for no limit")
    quota = Quota(bytes=options.mib << 20, jobs=options.jobs, gpu_hours=options.gpu_hours)
    return print_key(options, add_tenant(open_store(options), options.name, quota))


VERB = Verb(
    line="print a key for a new user, once",
    example="api-keys add anna --data-dir ~/api --jobs 10 --gpu-hours 100",
    add=_add,
    run=_run,
    prints=ApiKey,
    runs_dir=False,
)
