"""python -m launcher site check: which values of the configured cluster are no longer true at the site."""

import argparse
import os
from pathlib import Path
from typing import TypedDict

from launcher.cli.verb import Verb
from launcher.clusters.registry import choose_kind, job_cluster
from launcher.clusters.site_check import faults, refusal
from launcher.clusters.site_here import faults_here
from launcher.errors import Exit
from launcher.launching.compose import compose
from launcher.output import print_json, print_text


class SiteCheck(TypedDict):
    """The values of a cluster file that are no longer true."""

    kind: str
    """The scheduler, as cluster.kind names it."""
    faults: list[str]
    """A sentence for each value that is no longer true."""


def _run(options: argparse.Namespace) -> int:
    """The exit code: 1 if a value is no longer true."""
    (composed,) = compose(["name=site_check", *options.overrides])
    config = composed.config
    kind = choose_kind(config.cluster.kind, os.environ)
    place, site = job_cluster(kind), config.cluster
    clusters = str(site.sbatch.get("clusters") or "")
    found = [*faults(site, place.partitions(clusters), config.resources.time), *faults_here(site)]
    if (refused := refusal(place, site, config.resources.time, str(Path.cwd()))) is not None:
        found.append(refused)
    if options.json:
        result: SiteCheck = {"kind": kind, "faults": found}
        print_json(result)
    else:
        print_text("\n".join(found) if found else f"every value that {kind} can check is true")
    return Exit.REFUSED if found else Exit.OK


VERB = Verb(
    line="show which values of a cluster file are no longer true: partition, GPUs, account, time limit, modules",
    about="Slurm is asked (sinfo, sbatch --test-only) and nothing is queued; modules and paths are tried on this machine. env, "
    "setup, networks and ports are not checked. The exit code is 1 if a value is no longer true.",
    example="site check --config-dir ~/site cluster=mysite",
    run=_run,
    prints=SiteCheck,
    overrides=True,
)
