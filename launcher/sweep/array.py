"""The job arrays of a sweep: their scripts, their submission, and those that are in the queue of its cluster.

The submission can be repeated after an interruption at any point. The lock of a submit is flock(2) on sweep.json itself,
taken before the file gets its name, so that no sweep is visible without it. filelock is not used, because it opens the file
that it locks by its name.
"""

import contextlib
import json
import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from launcher.clusters.base import Cluster
from launcher.clusters.registry import find_cluster, make_cluster
from launcher.clusters.submission import submitted
from launcher.config.schema import shipped_dir
from launcher.errors import ClusterError, ConfigError
from launcher.plan import LaunchPlan
from launcher.render import render_script
from launcher.run import job_number, now, write_text
from launcher.run.locks import try_lock
from launcher.sweep.folder import SweepDir
from launcher.sweep.trials import Array


def script(sweep: SweepDir, array: Array, plan: LaunchPlan, what: str) -> str:
    """The job script of an array; `plan` is the plan of any of its trials."""
    folder, cluster = str(sweep.path), find_cluster(plan.cluster)
    header = cluster.header(cluster.array_options(plan.job_options, array.shape, array.spec, folder), folder)
    return render_script(
        "sweep.sh.j2",
        header=header,
        folder=folder,
        plan=plan,
        first=array.first,
        what=what,
        shipped=str(shipped_dir()),
    )


def queued(sweep: SweepDir) -> list[dict[str, Any]]:
    """The arrays that jobs.json lists as queued, in their order."""
    if not sweep.jobs.exists():
        return []
    return list(sweep.as_run.read_json(sweep.jobs)["arrays"])


def described(array: Array) -> dict[str, Any]:
    """The entry of an array in sweep.json."""
    return {
        "script": array.script, "array": array.spec, "first": array.first, "indices": list(array.indices),
        "limited": array.parallel is not None,
    }  # fmt: skip


def submit(sweep: SweepDir, cluster: Cluster) -> list[str]:
    """The job ids of all arrays of sweep.json, after those that were not queued yet are queued.

    With a limit on parallel trials, each array waits for the one before it, because the limit holds only within one array.
    """
    arrays: list[dict[str, Any]] = sweep.read_spec()["arrays"]
    known = {one["script"]: one["job_id"] for one in queued(sweep) if not one["again"]}
    before = None
    for array in arrays:
        if array["script"] not in known:
            behind = job_number(before) if array["limited"] and before else None
            known[array["script"]] = submit_one(
                sweep, cluster, array["script"], array["array"], after=behind, again=False
            )
        before = known[array["script"]]
    return list(known.values())


def submit_one(
    sweep: SweepDir,
    cluster: Cluster,
    script_name: str,
    indices: str,
    *,
    after: str | None = None,
    again: bool,
) -> str:
    """The job id of one queued array, noted in jobs.json. With `again`, only `indices` of the script are queued once more."""
    known = queued(sweep)
    _forget_reported(sweep, known)
    tasks = indices if again else None
    with submitted(cluster, sweep.as_run, after=after, array=tasks, script=script_name) as job_id:
        one = {"job_id": job_id, "script": script_name, "array": indices, "again": again, "time": now()}
        _write_jobs(sweep, [*known, one], told=_is_reported(sweep))
        return job_id


def note_reported(sweep: SweepDir) -> None:
    """Notes that the job ids were reported to the user, so that the same command then starts another sweep."""
    _write_jobs(sweep, queued(sweep), told=True)


def _write_jobs(sweep: SweepDir, arrays: Sequence[dict[str, Any]], *, told: bool) -> None:
    write_text(sweep.jobs, json.dumps({"arrays": arrays, "told": told}, indent=2) + "\n", durable=True)


def _is_reported(sweep: SweepDir) -> bool:
    return sweep.jobs.exists() and bool(sweep.as_run.read_json(sweep.jobs)["told"])


def _forget_reported(sweep: SweepDir, known: Sequence[dict[str, Any]]) -> None:
    """Removes the intent of a submit that was interrupted after its job was noted; the next submit would adopt that job."""
    run = sweep.as_run
    if run.intent.exists() and run.job.exists():
        job_id = job_number(str(run.read_json(run.job)["job_id"]))
        if job_id in {job_number(one["job_id"]) for one in known}:
            run.intent.unlink()


@contextlib.contextmanager
def written(sweep: SweepDir, spec: dict[str, Any]) -> Generator[None]:
    """Writes sweep.json, which makes the folder a sweep, and holds its lock while the block runs."""
    temporary = sweep.spec.with_name(f".sweep.json.{os.getpid()}")
    with temporary.open("w") as file:
        try_lock(file)  # it is new, so that no other process has it
        file.write(json.dumps(spec, indent=2, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
        temporary.replace(sweep.spec)
        yield


@contextlib.contextmanager
def cut_short(folder: Path, request: str) -> Generator[SweepDir | None]:
    """A locked sweep under `folder` with the same request whose submission was interrupted; None if there is none."""
    with contextlib.ExitStack() as stack:
        for path in sorted(folder.glob("sweep_*/sweep.json")):
            sweep = SweepDir(path.parent)
            with contextlib.suppress(OSError):
                if try_lock(stack.enter_context(path.open())) and _is_cut(sweep, request):
                    yield sweep
                    return
        yield None


def _is_cut(sweep: SweepDir, request: str) -> bool:
    spec = sweep.read_spec()
    return spec["request"] == request and not spec["dry_run"] and not _is_reported(sweep)


def check_starts(sweep: SweepDir, spec: Mapping[str, Any]) -> None:
    """ConfigError for a dry run, ClusterError if the trials cannot be started from here; called before anything changes."""
    if spec["dry_run"]:
        raise ConfigError(f"{sweep.name} was a dry run; run its command without dry_run=true")
    make_cluster(str(spec["cluster"]))


def queue_of(spec: Mapping[str, Any]) -> Cluster | None:
    """The cluster whose queue has the arrays of the sweep; None if its workers are processes of a command."""
    cluster = find_cluster(str(spec["cluster"]))
    if not cluster.queued:
        return None
    cluster.reach()
    return cluster


def queued_jobs(sweep: SweepDir, cluster: Cluster) -> list[str]:
    """Job numbers of the sweep's arrays that are still in the queue; ClusterError if the queue does not answer."""
    found = cluster.jobs_of(sweep.path)
    if found is None:
        raise ClusterError(
            f"{cluster.title} does not say whether it has jobs of {sweep.name}; run the command again later"
        )
    return list(dict.fromkeys(job_number(job_id) for job_id in found))
