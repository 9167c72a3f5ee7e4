"""python -m launcher site probe: a cluster file from what the cluster says about itself and, with --run, a short job finds."""

import argparse
import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from launcher.cli.verb import Verb
from launcher.clusters.base import Cluster
from launcher.clusters.registry import choose_kind, job_cluster
from launcher.clusters.site_facts import SiteFact
from launcher.clusters.site_file import check_new, render, write_new
from launcher.config import ClusterConfig
from launcher.errors import ClusterError, Exit, UsageError
from launcher.look.findings import findings_of
from launcher.look.job import LOG, TIME, JobRequest, run_job, write_job
from launcher.output import print_json, print_text

_GIVEN = "given to this command"


class SiteProbe(TypedDict):
    """What is found out about a cluster."""

    kind: str
    """The scheduler, as cluster.kind names it."""
    findings: list[SiteFact]
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
    parser.add_argument(
        "--run", action="store_true", help=f"also queue a job of about a minute (limit {TIME}) that looks at the nodes"
    )  # fmt: skip
    parser.add_argument(
        "--nodes", type=int, default=2, metavar="N", help="with --run: nodes of the job (default: 2)"
    )
    parser.add_argument(
        "--sbatch", action="append", default=[], metavar="NAME=VALUE",
        help="an option of sbatch that the site needs, such as qos=debug; it goes into the file too (repeat it for more)",
    )  # fmt: skip
    parser.add_argument(
        "--wait", type=float, default=900.0, metavar="SECONDS",
        help="with --run: cancel a job that has not started by then (default: 900)",
    )  # fmt: skip
    parser.add_argument(
        "--folder", type=Path, metavar="DIR",
        help="with --run: a folder that all nodes share, kept afterwards (default: a new one here, removed afterwards)",
    )  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    if options.nodes < 1:
        raise UsageError(f"--nodes {options.nodes} must be at least 1")
    given = _given(options.sbatch)
    kind = choose_kind(options.kind, os.environ)
    if options.write:
        check_new(options.write)
    cluster = job_cluster(kind)
    clusters = next((str(one.value) for one in given if one.key == "sbatch.clusters"), "")
    probed = cluster.probe(options.partition, clusters)
    found = [*(one for one in probed if one.key not in {two.key for two in given}), *given]
    if options.run:
        found += _look(cluster, found, options)
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
    print_text(text, end="")
    if written:
        print_text(f"# written to {written}")
    return Exit.OK


def _given(words: Sequence[str]) -> list[SiteFact]:
    """The options of sbatch that were typed; UsageError for a word without a value."""
    found: list[SiteFact] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"--sbatch {word} is not NAME=VALUE; type for example --sbatch qos=debug")
        name = name.removeprefix("cluster.sbatch.").lstrip("-")
        found.append(SiteFact(what=name, key=f"sbatch.{name}", value=value, how=_GIVEN))
    return found


def _look(cluster: Cluster, found: Sequence[SiteFact], options: argparse.Namespace) -> list[SiteFact]:
    """What a job with these values finds on the nodes; its folder is removed unless it was named, or the job failed."""
    values: dict[str, Any] = {one.key: one.value for one in found if one.key and one.value is not None}
    sbatch = {
        key.removeprefix("sbatch."): True if value == "true" else value
        for key, value in values.items()
        if key.startswith("sbatch.")
    }
    site = ClusterConfig(
        kind=cluster.name, sbatch=sbatch, gpu_request=values.get("gpu_request", "gpus-per-node"),
        gpu_type=values.get("gpu_type"),
    )  # fmt: skip
    has = next((one.value for one in found if one.what == "nodes"), options.nodes)
    nodes = min(options.nodes, int(has or 1))
    folder = _folder(options.folder)
    wanted = JobRequest(nodes=nodes, gpus_per_node=int(values.get("gpus_per_node", 0)), site=site)
    try:
        script = write_job(cluster, wanted, folder)
    except BaseException:
        _remove(folder, options.folder)
        raise
    try:
        records = run_job(cluster, script, nodes, options.wait)
    except BaseException:
        if not (folder / LOG).exists():  # the job left no log
            _remove(folder, options.folder)
        raise
    _remove(folder, options.folder)
    return findings_of(records, platform.machine())


def _folder(named: Path | None) -> Path:
    """An empty folder; ClusterError if it cannot be made, or holds something."""
    try:
        if named is None:
            return Path(tempfile.mkdtemp(prefix="site_probe_", dir=Path.cwd()))
        folder = named.expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ClusterError(f"--folder {named} is not empty; name a new folder that all nodes share")
    except OSError as error:
        where = named or Path.cwd()
        raise ClusterError(
            f"{where} cannot be written ({error.strerror}); name a folder that all nodes share with --folder"
        ) from None
    return folder


def _remove(folder: Path, named: Path | None) -> None:
    if named is None:
        shutil.rmtree(folder, ignore_errors=True)


VERB = Verb(
    line="show what can be found out about the cluster, as a cluster file",
    about="Without --run nothing is queued. Every line says how its value is known. Speeds are only comments: "
    "`calibrate` measures what a run reaches.",
    example="site probe --partition gpu --write ~/site/cluster/mysite.yaml\nsite probe --run --sbatch qos=debug",
    add=_add,
    run=_run,
    prints=SiteProbe,
    runs_dir=False,
)
