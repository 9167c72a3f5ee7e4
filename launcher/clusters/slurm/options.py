"""The sbatch options of a job: those that the plan sets, those that a site adds, and those that are refused.

GPUs are requested in the dialects of sites. Source: sbatch(1), --gpus-per-node, --gpus-per-task, --gres.
"""

import re
from collections.abc import Mapping
from typing import Any

from launcher.clusters.job import Request
from launcher.clusters.slurm.output import DEFAULT, FLAGS, check_file
from launcher.clusters.slurm.step import check_variables, is_srun_option
from launcher.config.spelling import one_line
from launcher.errors import PlanError, nearest

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
    container-save""".split()  # noqa: SIM905 - a list would take one line per option
)

_NO_RUN = {
    "wrap": "would replace the job's script, which the launcher writes",
    "test-only": "would submit nothing; dry_run=true writes a run without submitting it",
    "wait": "would keep the launcher until the job has ended; python -m launcher follow does that",
    "parsable": "is given already",
    "help": "would submit nothing",
    "usage": "would submit nothing",
    "version": "would submit nothing",
}
"""Options of sbatch with which no run is submitted. Source: sbatch(1)."""

# Decided by the plan: another value from the site's file would contradict the values that the ranks get.
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
    "open-mode": "runs_dir",
    "mem": "resources.memory_gib",
    "cpus-per-task": "resources.cpus_per_gpu",
}

_CORES = frozenset(["cpus-per-task", "cpus-per-gpu", "exclusive"])
"""Options that give a job's tasks more than one core; mincpus only selects nodes."""

_COUNTS = frozenset(
    """core-spec cores-per-socket cpus-per-gpu cpus-per-task delay-boot mem-per-cpu mem-per-gpu mincpus nice ntasks-per-core
    ntasks-per-socket priority segment sockets-per-node spread-job switches thread-spec threads-per-core tmp""".split()  # noqa: SIM905
)
"""Options whose values are numbers. For any other option, YAML or Hydra can have converted a text into a number."""
_WAYS = ("gpus-per-node", "gpus-per-task", "gres", "none")
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
"""A type of GPU, or a MIG profile such as 1g.10gb+me."""


def job_options(request: Request) -> dict[str, str]:
    """The #SBATCH options of the job, "" for a flag without a value; PlanError for an invalid one."""
    resources, site = request.resources, request.site
    if site.options:
        raise PlanError(
            f"cluster.options.{next(iter(site.options))} is for another scheduler; take it out, and set Slurm's options with "
            "cluster.sbatch.*"
        )
    check_variables(site.env)
    options = {
        "job-name": request.name,
        "nodes": str(request.nodes + request.spares),
        "ntasks-per-node": "1",
        "time": resources.time,
        "output": DEFAULT,
        "open-mode": "append",
    }
    if request.cuda:
        options |= gpu_options(request)
    if request.spares or (request.led and request.nodes > 1):
        options["no-kill"] = (
            ""  # the failure of a node must not end the job: another one leads it, or queues it again
        )
    added = _site_options(site.sbatch)
    # sbatch refuses two options for cores, or for memory: the site's option wins, since the site knows its nodes.
    if resources.cpus_per_gpu is not None and "cpus-per-gpu" not in added:
        options["cpus-per-task"] = str(resources.cpus_per_gpu * request.gpus_per_node)
    if resources.memory_gib is not None and not {"mem-per-gpu", "mem-per-cpu"} & added.keys():
        options["mem"] = (
            f"{resources.memory_gib}G" if resources.memory_gib else "0"
        )  # 0 requests all memory of the node
    if "gpu" in added.get("tres-per-task", ""):
        raise PlanError(
            f"cluster.sbatch.tres-per-task={added['tres-per-task']} requests GPUs a second time; set "
            "resources.gpus_per_node, cluster.gpu_request=gpus-per-task and cluster.gpu_type for their type"
        )
    if "gres" in added:
        added["gres"] = join_gres(options, added["gres"])
    options |= added
    if site.time_limits:
        from launcher.clusters.slurm.limits import check_time  # imported here, as below: for what a site adds

        check_time(site.time_limits, options)
    options.setdefault("comment", comment_of(request.run_dir))
    return options


_MARK = "launcher:"


def comment_of(folder: str) -> str:
    """The comment of a job of that run dir. An interrupted submission finds its job by this comment.

    A comment of the site (such as an accounting code) stays as it is; the job is then found by its working directory.
    """
    return f"{_MARK}{folder}"


def comment_in(options: Mapping[str, str], folder: str) -> str:
    """The comment of another job with these options in that folder: the site's comment, otherwise that of the folder."""
    own = options.get("comment", _MARK)
    return comment_of(folder) if own.startswith(_MARK) else own


def few_cores(options: Mapping[str, str], ranks: int) -> str | None:
    """A warning if GPUs are requested without cores. Source: sbatch(1), --cpus-per-task: one core per task, and a node has
    one task; slurm.conf(5), DefMemPerCPU: memory depends on the cores."""
    if _CORES & options.keys():
        return None
    whose = "the rank of each node gets" if ranks == 1 else f"the {ranks} ranks of each node get"
    return (
        f"resources.cpus_per_gpu=null requests no cores from Slurm: {whose} one core and that core's memory, unless the site "
        "has DefCpuPerGPU and DefMemPerGPU; set resources.cpus_per_gpu=8 (and resources.memory_gib=0 for all memory of a "
        "node), or cluster.sbatch.cpus-per-gpu=8"
    )


def no_memory(options: Mapping[str, str], need_gib: int) -> str | None:
    """A warning if cores are requested without memory; none without cores either, for which `few_cores` warns.

    Source: slurm.conf(5), DefMemPerCPU, DefMemPerGPU and DefMemPerNode, of which a job gets one unless it requests memory.
    """
    if {"mem", "mem-per-gpu", "mem-per-cpu", "exclusive"} & options.keys() or not _CORES & options.keys():
        return None
    return (
        f"resources.memory_gib=null leaves host memory to the site, and the plan needs {need_gib} GiB of host memory on each "
        f"node; set resources.memory_gib={need_gib}, or 0 for all of a node"
    )


def _site_options(sbatch: Mapping[str, Any]) -> dict[str, str]:
    options: dict[str, str] = {}
    if not sbatch:
        return options
    from launcher.clusters.slurm.spelling import check_spelling

    for flag, value in sbatch.items():
        key = f"cluster.sbatch.{flag}"
        if not re.fullmatch(r"[a-z][a-z0-9-]*", flag):
            raise PlanError(
                f"{key} is not an sbatch option; use the long name without the dashes, such as partition"
            )
        if flag in _PLANNED:
            raise PlanError(f"{key} is decided by the plan; set {_way_of(flag)}")
        if flag == "array":
            raise PlanError(f"{key} would start several jobs in one run dir; use -m for several runs")
        if flag in _NO_RUN:
            raise PlanError(f"{key} {_NO_RUN[flag]}; take it out")
        if flag not in KNOWN and is_srun_option(flag):
            raise PlanError(f"{key} is an option of srun, not of sbatch; set cluster.srun.{flag}")
        close = None if flag in KNOWN else nearest(flag, KNOWN)
        if close:
            raise PlanError(f"{key} is not an sbatch option; did you mean cluster.sbatch.{close}?")
        if value is None or value is False:
            continue
        if isinstance(value, int | float) and value is not True and flag not in _COUNTS:
            raise PlanError(
                f"{key}={value} was read as a number, but may be meant as a text (YAML reads 12:00:00 as 43200, 012345 as "
                f'5349, 1_000 as 1000); quote it: {flag}: "..." in a file, "{key}=\'...\'" on the command line'
            )
        if isinstance(value, dict | list):
            raise PlanError(f"{key} must be one value, not a list or mapping; write it as one string")
        if value == "":
            raise PlanError(
                f"{key} is empty; use {key}=null to leave it out, or {key}=true for an option without a value"
            )
        options[flag] = "" if value is True else check_spelling(key, flag, one_line(key, str(value)))
        if flag in FLAGS:
            check_file(key, options[flag])
    return options


def _way_of(flag: str) -> str:
    """What to set in place of an option that the plan decides."""
    more = (
        ", and cluster.gpu_type and cluster.gpu_request for the type of GPU"
        if flag.startswith("gpus")
        else ""
    )
    return f"{_PLANNED[flag]} instead{more}"


def gpu_options(request: Request) -> dict[str, str]:
    """The option that requests the GPUs of a node; empty for `none`, where only the partition decides. PlanError for an
    unknown value or a type that is not one word."""
    way, kind = request.site.gpu_request, request.site.gpu_type
    if way not in _WAYS:
        close = nearest(way, _WAYS)
        meant = f"; did you mean {close}?" if close else ""
        raise PlanError(f"cluster.gpu_request={way!r} must be one of {', '.join(_WAYS)}{meant}")
    if kind is not None and way == "none":
        raise PlanError(
            f"cluster.gpu_type={kind} has no effect with cluster.gpu_request=none; "
            "set cluster.gpu_request=gpus-per-node, or select the nodes by cluster.sbatch.constraint"
        )
    if kind is not None and not _TYPE.fullmatch(kind):
        raise PlanError(
            f"cluster.gpu_type={kind!r} must be one word as `sinfo -o %G` shows it, such as a100 or 3g.40gb"
        )
    if way == "none":
        return {}
    count = str(request.gpus_per_node)
    words = [*(["gpu"] if way == "gres" else []), *([kind] if kind else []), count]
    return {way: ":".join(words)}


def join_gres(options: dict[str, str], site: str) -> str:
    """The value of --gres with the site's other resources after the GPUs, if those are requested by --gres.

    PlanError if the site's value names GPUs, which would count them twice.
    """
    if any(one.strip().split(":")[0] == "gpu" for one in site.split(",")):
        raise PlanError(
            f"cluster.sbatch.gres={site} requests GPUs a second time; set resources.gpus_per_node, cluster.gpu_request=gres "
            "and cluster.gpu_type for their type, and keep only other resources in cluster.sbatch.gres"
        )
    return ",".join([*filter(None, [options.get("gres")]), site])
