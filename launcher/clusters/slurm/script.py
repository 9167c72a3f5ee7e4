"""The job script of a Slurm job: the part of the cluster that a plan needs, without any command."""

from collections.abc import Sequence

from launcher.clusters.base import Cluster, Options
from launcher.clusters.job import CpuRequest, Request
from launcher.clusters.slurm import header, notice, output, step
from launcher.clusters.slurm.cpu import cpu_options
from launcher.clusters.slurm.options import comment_in, job_options

_NOT_SHAPE = ("comment", "job-name", *output.FLAGS)
"""Options that differ for every job."""


class SlurmScript(Cluster):
    """A cluster whose job scripts sbatch can read."""

    opens_images = True
    node_index_word = "${SLURM_NODEID:-0}"

    def job_options(self, request: Request) -> dict[str, str]:
        """The options of sbatch."""
        return job_options(request)

    def header(self, options: Options, folder: str) -> str:
        """The #SBATCH lines."""
        return header.header(options, folder)

    def step_options(self, request: Request) -> tuple[str, ...]:
        """The options of srun."""
        return step.step_options(request)

    def with_notice(self, options: Options, seconds: int) -> dict[str, str]:
        """The options with --signal."""
        return notice.with_notice(options, seconds)

    def notice_s(self, options: Options) -> float | None:
        """The seconds that --signal sets."""
        return notice.notice_s(options)

    def with_requeue(self, options: Options, allowed: bool) -> dict[str, str]:
        """The options with --requeue or --no-requeue."""
        return notice.with_requeue(options, allowed)

    def may_requeue(self, options: Options) -> bool:
        """True unless --no-requeue is set."""
        return self.queued and "no-requeue" not in options

    def shape(self, options: Options) -> dict[str, str]:
        """The options without names, logs and comments."""
        return {flag: value for flag, value in options.items() if flag not in _NOT_SHAPE}

    def log_folders(self, options: Options) -> list[str]:
        """The folders of the files that the site or the user has named."""
        return output.folders(options)

    def log_patterns(self, options: Options, job_ids: Sequence[str]) -> list[str]:
        """Patterns of the files that the site or the user has named."""
        return output.patterns(options, job_ids)

    def cpu_options(self, request: CpuRequest) -> dict[str, str]:
        """The options of sbatch for one task with some cores."""
        return cpu_options(request)

    def by_hand(self, script: str) -> str:
        """The sbatch command."""
        return f"`sbatch {script}`"

    def array_options(self, options: Options, shape: Options, indices: str, folder: str) -> dict[str, str]:
        """The options with --array, and a log for each task."""
        return {
            "job-name": options["job-name"],
            **shape,
            "array": indices,
            **output.of_an_array(options),
            "comment": comment_in(options, folder),
        }
