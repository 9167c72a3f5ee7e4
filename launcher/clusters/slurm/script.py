"""The job script of a Slurm job and its #SBATCH lines: the part of the cluster that a plan needs, without any command."""

import re
from collections.abc import Mapping, Sequence

from launcher.clusters.base import Cluster
from launcher.clusters.job import CpuRequest, Request
from launcher.clusters.pure import Options
from launcher.clusters.slurm import output, step
from launcher.clusters.slurm.options import KNOWN, comment_in, job_options
from launcher.errors import PlanError, UsageError, unknown

_NOT_SHAPE = ("comment", "job-name", *output.FLAGS)
"""Options that differ for every job."""
_MINUTE_S = 60.0
_NOTICE = re.compile(r"B:(?:SIG)?USR1(?:@(\d+))?")
_ACCOUNT = "account"
"""The only option of cluster.sbatch that such a job gets, because partition, qos and constraint choose nodes with GPUs."""


def header(options: Mapping[str, str], folder: str) -> str:
    """One line per option, and one for the folder in which the script starts."""
    lines = [
        f"#SBATCH --{flag}={directive(value)}" if value else f"#SBATCH --{flag}"
        for flag, value in options.items()
    ]
    return "\n".join([*lines, f"#SBATCH --chdir={directive(folder)}"])


def directive(value: str) -> str:
    r"""The value for `#SBATCH --flag=`, escaped so that sbatch reads back exactly the same characters.

    sbatch ends an argument at a blank outside quotes, even an escaped one, and the line at an unescaped #; a backslash escapes
    the next character. Source: Slurm's src/sbatch/opt.c, _get_argument, and the tests on a real cluster.
    PlanError for a character that could end the line.
    """
    if any(not character.isprintable() for character in value):
        raise PlanError(f"{value!r} holds a newline or control character, which an sbatch option cannot hold")
    escaped = "".join(f"\\{character}" if character in "\"'\\#" else character for character in value)
    return f'"{escaped}"' if " " in value else escaped


class SlurmScript(Cluster):
    """A cluster whose job scripts sbatch can read."""

    opens_images = True
    node_index_word = "${SLURM_NODEID:-0}"

    def job_options(self, request: Request) -> dict[str, str]:
        """The options of sbatch."""
        return job_options(request)

    def header(self, options: Options, folder: str) -> str:
        """The #SBATCH lines."""
        return header(options, folder)

    def step_options(self, request: Request) -> tuple[str, ...]:
        """The options of srun."""
        return step.step_options(request)

    def with_notice(self, options: Options, seconds: int) -> dict[str, str]:
        """The options with --signal."""
        return with_notice(options, seconds)

    def notice_s(self, options: Options) -> float | None:
        """The seconds that --signal sets."""
        return notice_s(options)

    def with_requeue(self, options: Options, allowed: bool) -> dict[str, str]:
        """The options with --requeue or --no-requeue."""
        return with_requeue(options, allowed)

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


def with_notice(options: Mapping[str, str], seconds: int) -> dict[str, str]:
    """The options with USR1 to the batch script `seconds` before the limit, unless the site has set a signal itself."""
    return dict(options) if "signal" in options else {**options, "signal": f"B:USR1@{seconds}"}


def notice_s(options: Mapping[str, str]) -> float | None:
    """Seconds between that signal and the limit, whoever set it; None if the batch script does not get it.

    Source: sbatch(1), --signal: one minute if no time is given.
    """
    match = _NOTICE.fullmatch(options.get("signal", ""))
    return float(match[1] or _MINUTE_S) if match else None


def with_requeue(options: Mapping[str, str], allowed: bool) -> dict[str, str]:
    """The options with the flag that allows or forbids a requeue of the job, unless the site has set it."""
    if {"requeue", "no-requeue"} & options.keys():
        return dict(options)
    return {**options, "requeue" if allowed else "no-requeue": ""}


def cpu_options(request: CpuRequest) -> dict[str, str]:
    """The options: one task with some cores, the site's account, and what was typed."""
    from launcher.clusters.slurm.spelling import check_spelling  # imported here: a run has other options

    for flag, value in request.given.items():
        if flag not in KNOWN:
            raise UsageError(f"--option {flag}: {unknown('sbatch option', flag, KNOWN)}")
        if flag == "array":
            raise UsageError(f"--option {flag}: several jobs would make the same tokens; leave it out")
        check_spelling(f"--option {flag}", flag, value)
    account = request.site.sbatch.get(_ACCOUNT)
    return {
        "job-name": request.name,
        **({_ACCOUNT: check_spelling("cluster.sbatch.account", _ACCOUNT, str(account))} if account else {}),
        "nodes": "1",
        "ntasks": "1",
        "cpus-per-task": str(request.cores),
        "time": request.time,
        "output": "slurm_%j.log",
        **request.given,
    }
