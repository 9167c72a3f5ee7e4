"""python -m launcher list: all runs that were submitted, newest last; --planned lists the dry runs."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from launcher.cli.verb import Verb
from launcher.clusters.base import RunState
from launcher.errors import Exit, RunError
from launcher.output import columns, fields, print_json, print_text, warn
from launcher.run import RunDir
from launcher.run.remote import RemoteRun, read_remote
from launcher.run.scan import REMOTE, Found, scan
from launcher.status.learning import damaged_lines
from launcher.status.run_status import Status
from launcher.status.settled import SettledStatuses
from launcher.status.state import read_statuses, split_readable
from launcher.units import plural


class OnCluster(TypedDict):
    """A run or a sweep that was launched by ssh (cluster.ssh), and whose cluster was not asked, or did not answer."""

    run: str
    """name/date_time, by which it is found here; of a sweep name/sweep_date_time."""
    ssh: str
    """The cluster, as cluster.ssh names it."""
    run_dir: str
    """Absolute path of its folder there."""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--planned", action="store_true", help="list the dry runs, which were never submitted"
    )
    parser.add_argument(
        "--ask",
        action="store_true",
        help="ask the clusters that are reached by ssh for the state of their runs",
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    runs_dir = options.runs_dir.absolute()
    scanned, records = scan(str(runs_dir))
    every, there = [RunDir(Path(one.folder)) for one in scanned], _readable(records)
    settled = SettledStatuses(runs_dir)
    kept = {run: status for run in every if (status := settled.find(run))}
    listed = [run for run in every if (run in kept or run.submitted) is not options.planned]
    read = _read([run for run in listed if run not in kept], settled)
    remote = {folder: one for folder, one in there.items() if one.dry_run is options.planned}
    asked: Mapping[str, Mapping[str, Any]] = {}
    if options.ask and remote:
        from launcher.remote.command import statuses_there  # imported here: most lists are of this machine

        asked = statuses_there([*remote.values()])
    here = {run: kept.get(run) or fields(read[run]) for run in listed if run in kept or run in read}
    entries = _in_order(here, runs_dir, remote, asked)
    if options.json:
        print_json([one for _, one in entries])
        return Exit.OK
    hidden = len(every) + len(there) - len(listed) - len(remote)
    if not entries:
        print_text(
            f"no {'dry runs' if options.planned else 'runs'} under {options.runs_dir}{_others(hidden, options.planned)}"
        )
        return Exit.OK
    rows = [_row(cluster, one) for cluster, one in entries]
    print_text(columns(("run", "state", "step", "loss", "job"), rows))
    for status in here.values():
        for line in damaged_lines(status["damaged"]):
            print_text(f"{status['run']}: {line}")
        if status["insurance"]:
            print_text(f"{status['run']}: job {status['insurance']} waits as insurance")
    if hidden and not options.planned:
        print_text(_others(hidden, planned=False).strip(" ;"))
    return Exit.OK


def _read(runs: Sequence[RunDir], settled: SettledStatuses) -> dict[RunDir, Status]:
    """The status of each run; a run that cannot be read is reported."""
    readable, faults = split_readable(runs)
    for fault in faults:
        warn(f"{fault} The run is left out of the list.")
    read = dict(zip(readable, read_statuses(readable), strict=True))
    settled.keep(read)
    return read


def _readable(records: Sequence[Found]) -> dict[Path, RemoteRun]:
    """Folder -> record of each run and sweep on a cluster; a record that cannot be read is reported."""
    found: dict[Path, RemoteRun] = {}
    for folder in (Path(one.folder) for one in records):
        try:
            if remote := read_remote(folder):
                found[folder] = remote
        except RunError as error:
            warn(f"{error} The run is left out of the list.")
    return found


def _in_order(
    here: Mapping[RunDir, Mapping[str, Any]],
    runs_dir: Path,
    there: Mapping[Path, RemoteRun],
    asked: Mapping[str, Mapping[str, Any]],
) -> "list[tuple[str, Mapping[str, Any] | OnCluster]]":
    """(cluster, what is listed), newest last; the cluster is empty for a run of this machine. A run on a cluster is listed with
    its status there if that is known."""
    if not there:
        return [("", status) for status in here.values()]
    found: list[tuple[int, str, Mapping[str, Any] | OnCluster]] = [
        (run.plan.stat().st_mtime_ns, "", status) for run, status in here.items()
    ]
    for folder, remote in there.items():
        name, launched = str(folder.relative_to(runs_dir)), (folder / REMOTE).stat().st_mtime_ns
        told = [
            (launched, remote.ssh, {**status, "run": name + run_dir.removeprefix(remote.run_dir)})
            for run_dir, status in asked.items()
            if run_dir == remote.run_dir or run_dir.startswith(f"{remote.run_dir}/")
        ]
        unknown = OnCluster(run=name, ssh=remote.ssh, run_dir=remote.run_dir)
        found += told or [(launched, remote.ssh, unknown)]
    return [(cluster, one) for _, cluster, one in sorted(found, key=lambda entry: entry[0])]


def _row(cluster: str, status: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    if "state" not in status:
        return str(status["run"]), f"on {cluster}", "", "", ""
    state, step, loss = status["state"], status["step"], status["loss"]
    said = state.value if isinstance(state, RunState) else str(state)
    return (
        str(status["run"]),
        f"{said} on {cluster}" if cluster else said,
        "" if step is None else f"{step}/{status['total_steps']}",
        "" if loss is None else f"{loss:.4f}",
        status["job_id"] or "",
    )


def _others(count: int, planned: bool) -> str:
    """What is not listed; empty if everything is."""
    if not count:
        return ""
    if planned:
        return f"; {plural(count, 'run')} that {'was' if count == 1 else 'were'} submitted: python -m launcher list"
    return f"; {plural(count, 'dry run')}: python -m launcher list --planned"


VERB = Verb(
    line="list all runs that were submitted, newest last",
    about="A dry run is listed with --planned, and python -m launcher remove deletes it. A run that was launched by ssh "
    "(cluster.ssh) is listed with its cluster; --ask shows its state.",
    example="list --json",
    add=_add,
    run=_run,
    prints=list[Status | OnCluster],
    group="runs",
)
