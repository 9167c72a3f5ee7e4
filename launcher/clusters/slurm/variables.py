"""The environment variables of Slurm that this project reads. Slurm sets all of them. Source: sbatch(1) and srun(1)."""

from launcher.environment import Variable


def _read(name: str, meaning: str, read_by: str) -> Variable:
    return Variable(name=name, meaning=meaning, set_by="Slurm", read_by=read_by)


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
        _read("SLURM_NODEID", "Index of the node in the job step, from 0.", "agent, node.sh"),
        _read("SLURMD_NODENAME", "Slurm's name of this node.", "supervisor, agent"),
    )
}
"""Name -> variable."""
