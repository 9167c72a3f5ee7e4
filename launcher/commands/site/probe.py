"""python -m launcher site probe: what the login node can find out about the cluster, as a cluster file."""

import argparse
import os
from datetime import datetime
from pathlib import Path
from typing import TypedDict

from launcher.cli.verb import Verb
from launcher.clusters.choose import choose_kind, job_cluster
from launcher.clusters.finding import Finding
from launcher.clusters.site_file import render, write_new
from launcher.errors import Exit
from launcher.output import print_json


class SiteProbe(TypedDict):
    """What a login node can find out about its cluster."""

    kind: str
    """The scheduler, as cluster.kind names it."""
    findings: list[Finding]
    """Each value for the cluster file."""
    file: str | None
    """The cluster file that was written; null without --write."""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--partition", metavar="P", help="the partition for jobs (default: the best one with GPUs)"
    )
    parser.add_argument(
        "--kind",
        default="auto",
        metavar="KIND",
        help="the scheduler, as cluster.kind names it (default: auto)",
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the cluster file; an existing one is left as it is"
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    kind = choose_kind(options.kind, os.environ)
    found = job_cluster(kind).probe(options.partition)
    text = render(kind, found, datetime.now().date())
    written = write_new(options.write, text) if options.write else None
    if options.json:
        result: SiteProbe = {
            "kind": kind,
            "findings": list(found),
            "file": str(written) if written else None,
        }
        print_json(result)
        return Exit.OK
    print(text, end="")
    if written:
        print(f"# written to {written}")
    return Exit.OK


VERB = Verb(
    line="show what this login node can find out about the cluster, as a cluster file",
    about="Nothing is queued. Every line says how its value is known; GPU memory and speed are not known to the scheduler: "
    "`calibrate` measures them.",
    example="site probe --partition gpu --write ~/site/cluster/mysite.yaml",
    add=_add,
    run=_run,
    prints=SiteProbe,
    runs_dir=False,
)
