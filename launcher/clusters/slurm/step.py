"""The job step that runs node.sh on every node: srun and its options."""

from collections.abc import Mapping, Sequence

from launcher.clusters.job import Request
from launcher.clusters.slurm.srun import site_options
from launcher.config import ContainerRuntime
from launcher.config.text import one_line
from launcher.errors import RunError


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
