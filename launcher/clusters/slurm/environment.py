"""The environment variables of Slurm that this project reads or keeps away from Slurm's commands, and the job of a process.

Source: sbatch(1) and srun(1).
"""

import socket
from collections.abc import Mapping

from launcher.clusters.job import Job
from launcher.environment import Variable
from launcher.errors import ClusterError


def job(environ: Mapping[str, str]) -> Job | None:
    """The job; its id is ARRAY_INDEX in an array.

    One task of an array has the array's number as its SLURM_JOB_ID, and squeue, scontrol and scancel apply that number to
    all tasks. Source: sbatch(1), JOB ARRAYS; observed with 22.05.
    """
    array, index = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    restart = int(environ.get("SLURM_RESTART_COUNT") or 0)
    if array and index:
        return Job(id=f"{array}_{index}", restart=restart, index=int(index))
    number = environ.get("SLURM_JOB_ID")
    return Job(id=number, restart=restart) if number else None


def node_count(environ: Mapping[str, str]) -> int:
    """The number of nodes of the allocation."""
    return int(environ.get("SLURM_JOB_NUM_NODES", "1"))


def node_index(environ: Mapping[str, str]) -> int:
    """The index of this node in the step."""
    return int(environ.get("SLURM_NODEID", "0"))


def host(environ: Mapping[str, str]) -> str:
    """Slurm's name of this node."""
    return environ.get("SLURMD_NODENAME") or socket.gethostname()


def check_single(environ: Mapping[str, str]) -> None:
    """Raises ClusterError in one of several tasks of srun, and in a heterogeneous job."""
    tasks = environ.get("SLURM_STEP_NUM_TASKS", "1")
    if tasks.isdigit() and int(tasks) > 1:
        raise ClusterError(
            f"srun has started {tasks} copies of this command (SLURM_STEP_NUM_TASKS={tasks}), and each would start a run; type "
            "the command without srun, because it starts the ranks on all nodes itself"
        )
    parts = environ.get("SLURM_HET_SIZE", "1")
    if parts.isdigit() and int(parts) > 1:
        raise ClusterError(
            f"this is a heterogeneous job of {parts} parts (SLURM_HET_SIZE={parts}), whose nodes a run cannot share; request "
            "the nodes in one part"
        )


def _read(name: str, meaning: str, read_by: str) -> Variable:
    return Variable(name=name, meaning=meaning, set_by="Slurm", read_by=read_by)


def _kept_away(name: str, meaning: str) -> Variable:
    return Variable(name=name, meaning=meaning, set_by="user or site", read_by="sbatch, squeue, srun")


VARIABLES = {
    one.name: one
    for one in (
        _read("SLURM_JOB_ID", "Number of the job; in an array, of its first task.", "launch, supervisor"),
        _read("SLURM_JOB_NUM_NODES", "Number of nodes of the allocation.", "launch"),
        _read("SLURM_JOB_NODELIST", "Hosts of the allocation, in Slurm's short form.", "supervisor"),
        _read("SLURM_ARRAY_JOB_ID", "Number of the job array. Not set outside of one.", "supervisor, sweep"),
        _read(
            "SLURM_ARRAY_TASK_ID",
            "Index of this job in its array. Not set outside of one.",
            "supervisor, sweep",
        ),
        _read("SLURM_RESTART_COUNT", "How often this job was queued again.", "supervisor, agent"),
        _read("SLURM_CPUS_PER_TASK", "CPU cores per task, which srun takes as an option.", "supervisor"),
        _read("SLURM_STEP_ID", "Number of the job step. Not set in a batch script.", "launch, supervisor"),
        _read("SLURM_STEP_NUM_TASKS", "Number of tasks of the job step.", "launch"),
        _read(
            "SLURM_HET_SIZE", "Number of parts of a heterogeneous job. Not set in any other job.", "launch"
        ),
        _read("SLURM_NODEID", "Index of the node in the job step, from 0.", "agent, node.sh"),
        _read("SLURMD_NODENAME", "Slurm's name of this node.", "supervisor, agent"),
        _kept_away(
            "SLURM_CONF",
            "File of Slurm's configuration, which names the cluster; kept.",
        ),
        _kept_away("SLURM_CONF_SERVER", "Server of Slurm's configuration; kept."),
        _kept_away("SLURM_JWT", "A token for Slurm; kept in the environment, never written."),
        _kept_away("SLURM_SACK_JWKS", "Keys of Slurm's authentication; kept."),
        _kept_away("SLURM_CLUSTERS", "Clusters to submit to, unless cluster.sbatch.clusters is set."),
        _kept_away("SBATCH_CLUSTERS", "Clusters to submit to, only for sbatch."),
        _kept_away(
            "SLURM_EXPORT_ENV",
            "Variables that srun passes to a step; this project always passes all of them.",
        ),
        *(
            Variable(name=name, meaning=meaning, set_by="site", read_by="site probe")
            for name, meaning in (
                ("LMOD_CMD", "Program of the site's environment modules (Lmod)."),
                ("MODULESHOME", "Folder of the site's environment modules."),
            )
        ),
        _kept_away("SLURM_MPI_TYPE", "MPI plugin of srun; set cluster.srun.mpi instead."),
        _kept_away("SLURM_CPU_BIND_TYPE", "CPU binding of srun; set cluster.srun.cpu-bind instead."),
        *(
            _kept_away(
                name,
                "Overrides an option of the job script; left out where the plan or the site sets that option.",
            )
            for name in (
                "SBATCH_TIMELIMIT",
                "SBATCH_MEM_PER_NODE",
                "SBATCH_ARRAY_INX",
                "SBATCH_REQ_SWITCH",
                "SBATCH_WAIT4SWITCH",
                "SBATCH_DEBUG",
            )
        ),
    )
}
"""Name -> variable."""
