"""What the sweep commands have in common."""

import argparse
from collections.abc import Mapping
from typing import Any

from launcher.clusters.base import Cluster
from launcher.clusters.choose import make_cluster
from launcher.clusters.registry import find_cluster
from launcher.commands.options import make_parser
from launcher.errors import ClusterError, ConfigError
from launcher.run import job_number
from launcher.sweep.folder import SweepDir, find_sweep


def sweep_parser(verb: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser with SWEEP, --runs-dir and --json."""
    parser = make_parser(f"sweep {verb}", description, example)
    parser.add_argument(
        "sweep",
        nargs="?",
        metavar="SWEEP",
        help="a sweep's folder, name/sweep_date_time or a name; default: the newest sweep",
    )
    return parser


def chosen_sweep(options: argparse.Namespace) -> SweepDir:
    """The sweep that was named; RunError where there is none."""
    return find_sweep(options.runs_dir.absolute(), options.sweep)


def check_starts(sweep: SweepDir, spec: Mapping[str, Any]) -> None:
    """Before anything is changed: ConfigError of a dry run, ClusterError where the trials cannot be started from here."""
    if spec["dry_run"]:
        raise ConfigError(f"{sweep.name} was a dry run; type its command without dry_run=true")
    make_cluster(str(spec["cluster"]))


def queue_of(spec: Mapping[str, Any]) -> Cluster | None:
    """The cluster whose queue has the sweep's arrays; None where its workers are processes of a command."""
    cluster = find_cluster(str(spec["cluster"]))
    if not cluster.queued:
        return None
    cluster.reach()
    return cluster


def queued_jobs(sweep: SweepDir, cluster: Cluster) -> list[str]:
    """Numbers of the sweep's arrays that the queue still has; ClusterError where that cannot be told."""
    found = cluster.jobs_of(sweep.path)
    if found is None:
        raise ClusterError(
            f"{cluster.title} does not say whether it has jobs of {sweep.name}; type the command again later"
        )
    return list(dict.fromkeys(job_number(job_id) for job_id in found))
