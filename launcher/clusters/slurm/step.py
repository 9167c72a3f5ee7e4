"""The job step that runs node.sh on every node: srun, its options and those of the site (cluster.srun).

The variables of Slurm that a configuration must not set, because srun reads them, are refused here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from launcher.clusters.job import Request
from launcher.config import ContainerRuntime
from launcher.config.spelling import one_line
from launcher.errors import PlanError, RunError, nearest

# Long options of srun that a site can need for a step of one task per node. Source: srun(1), Slurm 22.05 to 25.05.
_KNOWN = frozenset(
    """accel-bind bcast cpu-bind cpu-freq cpus-per-gpu cpus-per-task cluster-constraint comment compress container
    container-env container-id container-image container-mount-home container-mounts container-name container-remap-root
    container-save container-workdir container-writable contiguous core-spec cores-per-socket delay-boot disable-status
    distribution epilog exact exclusive extra-node-info gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task
    gres gres-flags hint immediate input interactive label licenses mem mem-bind mem-per-cpu mem-per-gpu mpi msg-timeout
    network ntasks-per-core ntasks-per-gpu ntasks-per-socket ntasks-per-tres oom-kill-step open-mode overcommit overlap
    oversubscribe power profile prolog propagate quiet resv-ports send-libs slurmd-debug sockets-per-node spread-job
    stepmgr switches task-epilog task-prolog thread-spec threads threads-per-core time tmp treewidth tres-bind
    tres-per-task unbuffered use-min-nodes verbose x11""".split()  # noqa: SIM905
)
_PLANNED = {
    "nodes": "resources.nodes", "ntasks": "resources.nodes", "ntasks-per-node": "resources.nodes",
    "kill-on-bad-exit": "cluster.rank_starter", "wait": "cluster.rank_starter", "no-kill": "cluster.rank_starter",
    "export": "cluster.env", "export-file": "cluster.env", "chdir": "runs_dir", "output": "runs_dir", "error": "runs_dir",
    "nodelist": "cluster.sbatch.nodelist", "exclude": "cluster.sbatch.exclude", "jobid": "cluster=allocation",
    "het-group": "resources.nodes", "multi-prog": "resources.nodes", "pty": "resources.nodes", "preserve-env": "cluster.env",
}  # fmt: skip
"""Options that the plan decides, and the key that does it."""
_OPTION_OF = {"SLURM_MPI_TYPE": "mpi", "SLURM_EXPORT_ENV": "export", "SLURM_CPU_BIND_TYPE": "cpu-bind"}


def step_options(request: Request) -> tuple[str, ...]:
    """The options of srun for one task per node. If the supervisor leads the nodes, a failing node does not end the others;
    with another rank starter, a rank's failure ends the step on every node."""
    nodes = request.nodes + request.spares
    options = [
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        f"--kill-on-bad-exit={int(not request.led)}",
        f"--wait={0 if request.led else 60}",
        *(["--no-kill"] if request.led else []),
        "--export=ALL",  # a job of --export=NONE has SLURM_EXPORT_ENV=NONE, with which srun starts the step without PATH
    ]
    if request.site.container.runtime is ContainerRuntime.pyxis:
        options += [
            f"--container-image={request.image}",
            f"--container-mounts={','.join(request.mounts)}",
            f"--container-workdir={request.run_dir}",
            "--no-container-entrypoint",  # if a site enables the image's entrypoint, it would treat node.sh as its arguments
        ]
    checked = [one_line("cluster.container", option) for option in options]
    return (*checked, *site_options(request.site.srun))


def step_command(options: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """The argv of srun with node.sh; RunError outside of a job."""
    node_list(environ)
    srun = ["srun", *options]
    # Since 22.05, srun does not inherit --cpus-per-task from the job: the ranks would share one core.
    if environ.get("SLURM_CPUS_PER_TASK") and not _has(options, "cpus-per-task"):
        srun.append(f"--cpus-per-task={environ['SLURM_CPUS_PER_TASK']}")
    # In a step, such as `srun --pty bash`, a new step would wait until the current one ends.
    if environ.get("SLURM_STEP_ID") and not _has(options, "overlap"):
        srun.append("--overlap")
    return [*srun, "bash", "node.sh"]


def node_list(environ: Mapping[str, str]) -> str:
    """The nodes of the job that this process is in, in Slurm's notation; RunError outside of a job."""
    nodes = environ.get("SLURM_JOB_NODELIST")
    if not nodes:
        raise RunError(
            "this run was planned for Slurm, but SLURM_JOB_NODELIST is not set; use `sbatch job.sbatch`, or `bash "
            "job.sbatch` inside an allocation"
        )
    return nodes


def _has(options: Sequence[str], name: str) -> bool:
    return any(option.partition("=")[0] == f"--{name}" for option in options)


def is_srun_option(flag: str) -> bool:
    """Whether srun has this option, also one that the plan decides."""
    return flag in _KNOWN or flag in _PLANNED


def site_options(srun: Mapping[str, Any]) -> list[str]:
    """srun's options from cluster.srun; PlanError for an option that the plan decides, and for an unknown option."""
    words: list[str] = []
    if not srun:
        return words
    from launcher.clusters.slurm.spelling import check_spelling  # imported here: for what a site adds

    for flag, value in srun.items():
        key = f"cluster.srun.{flag}"
        if not re.fullmatch(r"[a-z][a-z0-9-]*", flag):
            raise PlanError(
                f"{key} is not an option of srun; use its long name without the dashes, such as cpu-bind"
            )
        if flag in _PLANNED:
            raise PlanError(f"{key} is decided by the plan; set {_PLANNED[flag]} instead")
        if flag not in _KNOWN and (close := nearest(flag, _KNOWN)):
            raise PlanError(f"{key} is not an option of srun; did you mean cluster.srun.{close}?")
        if value is None or value is False:
            continue
        if isinstance(value, dict | list) or value == "":
            raise PlanError(
                f"{key} must be one value; write it as one string, or {key}=true for an option without a value"
            )
        text = "" if value is True else check_spelling(key, flag, one_line(key, str(value)))
        words.append(f"--{flag}={text}" if text else f"--{flag}")
    return words


def check_variables(env: Mapping[str, str]) -> None:
    """PlanError for a variable of Slurm in cluster.env, which reaches only the ranks, not sbatch and srun."""
    for name in env:
        if not name.startswith(("SLURM_", "SBATCH_", "SRUN_")):
            continue
        option = _OPTION_OF.get(name) or name.partition("_")[2].lower().replace("_", "-")
        key = (
            f"cluster.sbatch.{option}" if name.startswith("SBATCH_")
            else _PLANNED.get(option, f"cluster.srun.{option}") if option in _KNOWN or option in _PLANNED
            else "cluster.srun or cluster.sbatch"
        )  # fmt: skip
        raise PlanError(
            f"cluster.env.{name} would reach only the ranks, not sbatch and srun; set {key} instead"
        )
