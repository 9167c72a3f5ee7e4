"""The Slurm cluster: its commands and its jobs."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.clusters.base import RunState
from launcher.clusters.job import Job, JobRecord, Start
from launcher.clusters.pure import Options
from launcher.clusters.slurm import client, environment, shell, step
from launcher.clusters.slurm.options import few_cores, no_memory
from launcher.clusters.slurm.script import SlurmScript
from launcher.errors import ClusterError

if TYPE_CHECKING:
    from launcher.clusters.site_facts import Partition, SiteFact


class Slurm(SlurmScript):
    """The cluster whose commands are on PATH."""

    name = "slurm"
    title = "Slurm"
    auto_order = 1
    arrays = True

    def __init__(self, timeout_s: float = client.TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        """Seconds to wait for a command's answer."""

    def with_timeout(self, timeout_s: float) -> "Slurm":
        """The same cluster with another timeout for its answers."""
        return type(self)(timeout_s)

    def warning(self, options: Options, ranks: int, cuda: bool) -> str | None:
        """A warning if GPUs are requested without cores."""
        return few_cores(options, ranks) if cuda else None

    def memory_warning(self, options: Options, need_gib: int) -> str | None:
        """A warning if no memory is requested with the cores."""
        return no_memory(options, need_gib)

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """Whether sbatch belongs to a cluster."""
        del environ
        return client.is_configured()

    def reach(self) -> None:
        """Raises ClusterError if sbatch is not on PATH."""
        if shutil.which("sbatch") is None:
            raise ClusterError(
                "cluster=slurm, but sbatch is not on PATH; log in to the cluster, plan with dry_run=true, or use cluster=local"
            )

    def check_start(self, environ: Mapping[str, str]) -> None:
        """Raises ClusterError without sbatch, or if srun has started several copies of the command."""
        self.reach()
        environment.check_single(environ)

    def shell_warnings(self, options: Options, environ: Mapping[str, str]) -> list[str]:
        """Warnings about variables SBATCH_*, and about those of the job in which the command runs."""
        return shell.warnings(environ, options)

    def submit_command(self, script: Path) -> list[str]:
        """The argv of sbatch with the script."""
        return client.submit_command(script)

    def submit(
        self,
        script: Path,
        *,
        after: str | None = None,
        avoid: Sequence[str] = (),
        array: str | None = None,
        keep_open: int | None = None,
    ) -> str:
        """The job id from sbatch. With `avoid` also Refused if Slurm knows now that the job could not start without these
        hosts: it would wait until other nodes are repaired."""
        hosts = (client.excluded(script), *avoid) if avoid else ()  # the option replaces the script's own
        exclude = ",".join(filter(None, hosts))
        if exclude:
            client.check_can_start(script, [f"--exclude={exclude}"], self.timeout_s)
        requested = {
            "--dependency=afterany:": after, "--exclude=": exclude, "--array=": array,
        }  # fmt: skip
        words = [f"{option}{value}" for option, value in requested.items() if value]
        return client.submit(script, words, keep_open, self.timeout_s)

    def jobs_of(self, folder: Path) -> list[str] | None:
        """The ids that squeue lists."""
        from launcher.clusters.slurm import queue  # imported here, as below: a launch asks for no job

        return queue.jobs_of(folder, self.timeout_s)

    def states(self, job_ids: Sequence[str]) -> dict[str, RunState | None]:
        """The states that squeue knows, then those that sacct knows."""
        from launcher.clusters.slurm import queue

        return queue.states(job_ids, self.timeout_s)

    def reasons(self, job_ids: Sequence[str]) -> dict[str, str]:
        """The reasons that squeue gives."""
        from launcher.clusters.slurm import queue

        return queue.reasons(job_ids, self.timeout_s)

    def expected_starts(self, job_ids: Sequence[str]) -> dict[str, float]:
        """The starts that squeue gives."""
        from launcher.clusters.slurm import queue

        return queue.expected_starts(job_ids, self.timeout_s)

    def when_starts(self, jobs: Sequence[Options], folder: str, freed: int = 0) -> list[Start]:
        """The starts that sbatch --test-only and squeue give; now for jobs that need no more nodes than are freed."""
        from launcher.clusters.slurm import starts

        return starts.when_starts(jobs, folder, self.timeout_s, freed)

    def cancel(self, job_id: str) -> None:
        """Runs scancel."""
        client.cancel(job_id, self.timeout_s)

    def signal(self, job_id: str, name: str, *, batch_only: bool = False) -> None:
        """Runs scancel --signal."""
        client.signal(job_id, name, batch_only, self.timeout_s)

    def requeue(self, job_id: str) -> None:
        """Runs scontrol requeue."""
        client.requeue(job_id, self.timeout_s)

    def requeue_wait_s(self) -> float:
        """cred_expire: until then a credential of the job's earlier start could still be valid."""
        return client.cred_expire_s(self.timeout_s)

    def forbid_requeue(self, job_id: str) -> None:
        """Runs scontrol update."""
        client.forbid_requeue(job_id, self.timeout_s)

    def partitions(self, clusters: str = "") -> "list[Partition]":
        """The partitions that sinfo lists."""
        from launcher.clusters.slurm import probe

        return probe.partitions(self.timeout_s, clusters)

    def probe(self, partition: str | None, clusters: str = "") -> "list[SiteFact]":
        """The findings from sinfo, scontrol, sacctmgr, sacct, squeue and srun."""
        from launcher.clusters.slurm import probe

        known = self.partitions(clusters)
        return probe.findings(probe.choose(known, partition), known, self.timeout_s, clusters)

    def largest_array(self, clusters: str = "") -> int:
        """MaxArraySize."""
        return client.largest_array(self.timeout_s, clusters)

    def job(self, environ: Mapping[str, str]) -> Job | None:
        """The job that SLURM_JOB_ID or the variables of an array name."""
        return environment.job(environ)

    def record(self, job_id: str) -> JobRecord | None:
        """The record that scontrol shows."""
        from launcher.clusters.slurm import queue

        return queue.record(job_id, self.timeout_s)

    def ends(self, job_id: str) -> float | None:
        """The time that squeue gives."""
        from launcher.clusters.slurm import queue

        return queue.ends(job_id, self.timeout_s)

    def grace_s(self, clusters: str = "") -> float:
        """KillWait."""
        return client.kill_wait_s(self.timeout_s, clusters)

    def keeps_job_without_batch_host(self) -> bool:
        """A job of several nodes is submitted with --no-kill: Slurm keeps it when any node fails, the batch host too."""
        return self.queued

    def complete(self, job_id: str, code: int) -> None:
        """Calls slurm_complete_job, else scancel."""
        from launcher.clusters.slurm import complete

        complete.complete(job_id, code, self.timeout_s)

    def hosts(self, nodes: str) -> list[str]:
        """The host names as scontrol expands them."""
        return client.host_names(nodes)

    def step_command(self, options: Sequence[str], environ: Mapping[str, str]) -> list[str]:
        """The argv of srun with node.sh."""
        return step.step_command(options, environ)

    def step_environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The names of the script's variables for threads, which a step cannot tell from srun's own."""
        return shell.threads_of_script(environ)

    def first_host(self, environ: Mapping[str, str]) -> str:
        """The first host of SLURM_JOB_NODELIST; ClusterError if scontrol cannot expand it."""
        nodes = step.node_list(environ)
        hosts = self.hosts(nodes)
        if not hosts:
            raise ClusterError(
                f"scontrol could not expand SLURM_JOB_NODELIST={nodes!r}; check that scontrol is on the PATH of the nodes"
            )
        return hosts[0]

    def node_index(self, environ: Mapping[str, str]) -> int:
        """SLURM_NODEID."""
        return environment.node_index(environ)

    def host(self, environ: Mapping[str, str]) -> str:
        """SLURMD_NODENAME."""
        return environment.host(environ)
