"""python -m launcher.supervise RUN_DIR: run one attempt of a planned run and say how it ended.

The last line of job.sbatch becomes this process. It checks that the plan still holds, chooses the rendezvous, starts
node.sh on every node (with srun in a job, with bash on one machine), waits, and writes what happened to events.jsonl.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from launcher.clusters.slurm import first_host
from launcher.errors import Exit, LauncherError, RunError
from launcher.plan import LaunchPlan
from launcher.plugins.decide import read_run
from launcher.run import RunDir, now, write_text
from launcher.supervise.children import Stopped, die_with_parent, wait_for_all
from launcher.supervise.rendezvous import choose_port

_PORT_TRIES = 5


def main(argv: list[str]) -> int:
    """The exit code of the job."""
    run = RunDir(Path(argv[0] if argv else ".").resolve())
    try:
        return supervise(run)
    except LauncherError as error:
        print(f"launcher: {error}", file=sys.stderr, flush=True)
        if run.path.is_dir():
            run.add_event(
                "stopped", attempt=run.attempts() + 1, exit_code=int(error.exit_code), reason=str(error)
            )
        return error.exit_code


def supervise(run: RunDir) -> int:
    """Runs one attempt."""
    stopped = Stopped()
    plan = read_run(run).plan
    command, address = _node_command(plan)
    attempt = run.attempts() + 1
    job_id = os.environ.get("SLURM_JOB_ID") or str(os.getpid())
    run.logs.mkdir(exist_ok=True)
    if not run.job.exists():  # planned by a dry run, submitted by hand
        job = {"cluster": plan.cluster, "job_id": job_id, "submitted": now()}
        write_text(run.job, json.dumps(job) + "\n")
    run.add_event("started", attempt=attempt, job_id=job_id, host=socket.gethostname())
    code: int = Exit.PORT_TAKEN
    for _ in range(_PORT_TRIES):
        environment = {
            **os.environ,
            "MASTER_ADDR": address,
            "MASTER_PORT": str(choose_port()),
            "LAUNCHER_ATTEMPT": str(attempt),
            "LAUNCHER_JOB": job_id,
        }
        child = subprocess.Popen(
            command,
            cwd=run.path,
            env=environment,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        code = wait_for_all([child], stopped)
        if code != Exit.PORT_TAKEN:
            break
    run.add_end(attempt, code)
    return code


def _node_command(plan: LaunchPlan) -> tuple[list[str], str]:
    """argv that runs node.sh on every node, and the address of the first one."""
    if plan.cluster == "local":
        return ["bash", "node.sh"], "127.0.0.1"
    nodelist = os.environ.get("SLURM_JOB_NODELIST")
    if not nodelist:
        raise RunError(
            "this run was planned for Slurm and SLURM_JOB_NODELIST is not set; use `sbatch job.sbatch`, or `bash "
            "job.sbatch` inside an allocation"
        )
    srun = ["srun", *plan.srun]
    # Since 22.05, srun takes no --cpus-per-task from the job by itself: the ranks would share one core.
    if os.environ.get("SLURM_CPUS_PER_TASK"):
        srun.append(f"--cpus-per-task={os.environ['SLURM_CPUS_PER_TASK']}")
    return [*srun, "bash", "node.sh"], first_host(nodelist)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
