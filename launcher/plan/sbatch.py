"""The sbatch options of a job: those that the plan sets, those that a site adds, and those that are refused."""

import re
from collections.abc import Mapping
from typing import Any

from launcher.config import ClusterConfig, ResourcesConfig
from launcher.errors import PlanError, nearest
from launcher.plan.topology import Topology

# Long options of sbatch, Slurm 22.05 to 25.05. Source: the manual page sbatch(1).
KNOWN = frozenset(
    """account acctg-freq array batch bb bbf begin chdir cluster-constraint clusters comment constraint
    container container-id contiguous core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task
    deadline delay-boot dependency distribution error exclude exclusive export export-file extra
    extra-node-info get-user-env gid gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task
    gres gres-flags hint hold ignore-pbs input job-name kill-on-invalid-dep licenses mail-type mail-user
    mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nice no-kill no-requeue nodefile
    nodelist nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket open-mode
    oom-kill-step output overcommit oversubscribe partition prefer priority profile propagate qos quiet
    reboot requeue reservation resv-ports segment signal sockets-per-node spread-job stepmgr switches
    test-only thread-spec threads-per-core time time-min tmp tres-bind tres-per-task uid use-min-nodes
    wait-all-nodes wckey container-image container-mounts container-name container-workdir
    container-save""".split()  # noqa: SIM905 - a list would take a line for each
)

# Decided by the plan: a different value in the site's file would contradict what the ranks get.
_PLANNED = {
    "nodes": "resources.nodes",
    "ntasks": "resources.nodes",
    "ntasks-per-node": "resources.nodes",
    "gpus-per-node": "resources.gpus_per_node",
    "gpus": "resources.gpus_per_node",
    "gpus-per-task": "resources.gpus_per_node",
    "gpus-per-socket": "resources.gpus_per_node",
    "ntasks-per-gpu": "resources.gpus_per_node",
    "time": "resources.time",
    "job-name": "name",
    "chdir": "runs_dir",
    "output": "runs_dir",
    "error": "runs_dir",
    "open-mode": "runs_dir",
    "mem": "resources.memory_gib",
    "cpus-per-task": "resources.cpus_per_gpu",
}

_TIME = re.compile(r"(\d+-)?\d+(:\d{1,2}){0,2}")


def check_time(time: str) -> str:
    """`time`, unchanged; PlanError if it is not a valid Slurm time. Source: sbatch(1), --time."""
    if not _TIME.fullmatch(time):
        raise PlanError(f"resources.time={time!r} is not a Slurm time; use minutes, HH:MM:SS or D-HH:MM:SS")
    return time


def time_in_seconds(time: str) -> int:
    """Seconds of a Slurm time. Source: sbatch(1), --time: minutes, minutes:seconds, h:m:s, d-h, d-h:m, d-h:m:s."""
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    else:
        hours, minutes, seconds = {1: (0, parts[0], 0), 2: (0, *parts), 3: parts}[len(parts)]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def sbatch_options(
    *,
    job_name: str,
    run_dir: str,
    topology: Topology,
    resources: ResourcesConfig,
    cluster: ClusterConfig,
    cuda: bool,
) -> dict[str, str]:
    """The #SBATCH options of the job, with "" as the value of a flag without one; PlanError for an invalid option."""
    options = {
        "job-name": job_name,
        "nodes": str(topology.nodes + resources.spares),
        "ntasks-per-node": "1",
        "time": check_time(resources.time),
        "output": "logs/slurm_%j.log",
        "open-mode": "append",
    }
    if cuda:
        if cluster.gpu_flag not in ("gpus-per-node", "gres"):
            raise PlanError(f"cluster.gpu_flag={cluster.gpu_flag!r} must be gpus-per-node or gres")
        prefix = "gpu:" if cluster.gpu_flag == "gres" else ""
        options[cluster.gpu_flag] = f"{prefix}{topology.gpus_per_node}"
    if resources.spares:
        options["no-kill"] = ""  # a failed node must not end a job that has a spare node to replace it
    site = _site_options(cluster.sbatch)
    # sbatch refuses two options that both request cores, or memory; the site's own option wins.
    if resources.cpus_per_gpu is not None and "cpus-per-gpu" not in site:
        options["cpus-per-task"] = str(resources.cpus_per_gpu * topology.gpus_per_node)
    if resources.memory_gib is not None and not {"mem-per-gpu", "mem-per-cpu"} & site.keys():
        options["mem"] = f"{resources.memory_gib}G" if resources.memory_gib else "0"  # 0: all of the node's
    options |= site
    # An interrupted submit finds its job again by this comment.
    options["comment"] = " ".join([*filter(None, [options.get("comment")]), f"launcher:{run_dir}"])
    return options


def _site_options(sbatch: Mapping[str, Any]) -> dict[str, str]:
    options: dict[str, str] = {}
    for flag, value in sbatch.items():
        key = f"cluster.sbatch.{flag}"
        if not re.fullmatch(r"[a-z][a-z0-9-]*", flag):
            raise PlanError(
                f"{key} is not an sbatch option; use the long name without the dashes, such as partition"
            )
        if flag in _PLANNED:
            raise PlanError(f"{key} is decided by the plan; set {_PLANNED[flag]} instead")
        if flag == "array":
            raise PlanError(f"{key} would start several jobs in one run dir; use -m for several runs")
        if flag == "gres" and "gpu" in str(value):
            raise PlanError(
                f"{key}={value} counts GPUs a second time; set resources.gpus_per_node and cluster.gpu_flag=gres"
            )
        close = None if flag in KNOWN else nearest(flag, KNOWN)
        if close:
            raise PlanError(f"{key} is not an sbatch option; did you mean cluster.sbatch.{close}?")
        if value is None or value is False:
            continue
        if isinstance(value, dict | list):
            raise PlanError(f"{key} must be one value, not a list or mapping; write it as one string")
        if value == "":
            raise PlanError(
                f"{key} is empty; use {key}=null to leave it out, or {key}=true for an option without a value"
            )
        options[flag] = "" if value is True else one_line(key, str(value))
    return options


def one_line(key: str, value: str) -> str:
    """`value`, unchanged; PlanError if it holds a newline or another control character."""
    if any(not character.isprintable() for character in value):
        raise PlanError(f"{key}={value!r} holds a newline or control character; use one line of plain text")
    return value
