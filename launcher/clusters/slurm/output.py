"""The files of a job's own output: sbatch's options output and error, which a site or a user may name.

A relative name is relative to the run dir, in which the job starts. Source: sbatch(1), --output and "filename pattern".
"""

import posixpath
import re
from collections.abc import Iterable, Mapping

from launcher.errors import PlanError

FLAGS = ("output", "error")
DEFAULT = "logs/slurm_%j.log"
DEFAULT_OF_AN_ARRAY = "logs/slurm_%A_%a.log"
_PATTERN = re.compile(r"%(\d*)(.)")
_OWN = frozenset(
    """accelerate.yaml asked checkpoints code code.diff code.json config.yaml data.json data_check.json deepspeed.json earlier
    events.jsonl .hydra intent.json job.json job.sbatch leader.json lease.json metrics.jsonl model node.sh plan.json serve
    sweep.json jobs.json claims outcomes""".split()  # noqa: SIM905
)
"""Names in a run dir or in the folder of a sweep, other than logs/."""


def check_file(key: str, value: str) -> str:
    """The name as it was typed; PlanError for a name that Slurm would misread, or that would overwrite a file of the run."""
    if value.startswith("~") or "$" in value:
        raise PlanError(
            f"{key}={value} does not work: Slurm expands neither ~ nor variables; write an absolute path, or one in the run "
            "dir such as %x-%j.out"
        )
    folder, _, name = value.rpartition("/")
    if _PATTERN.search(folder):
        raise PlanError(
            f"{key}={value} does not work: Slurm creates no folders, and its name is known only when the job starts; "
            "use the pattern in the name of the file, such as logs/%x-%j.out"
        )
    if not name:
        raise PlanError(f"{key}={value} names a folder; add the name of a file, such as %x-%j.out")
    if posixpath.normpath(value).partition("/")[0] in _OWN:
        raise PlanError(
            f"{key}={value} is a file or folder of the run itself; use another name, such as logs/%x-%j.out"
        )
    return value


def folders(options: Mapping[str, str]) -> list[str]:
    """The folders of these files, absolute or relative to the folder of the job; without those that always exist."""
    found = (options[flag].rpartition("/")[0] for flag in FLAGS if options.get(flag))
    return [folder for folder in dict.fromkeys(found) if folder not in ("", "logs", "/dev")]


def patterns(options: Mapping[str, str], job_ids: Iterable[str]) -> list[str]:
    """Patterns for glob(3) of the files that jobs with these ids wrote; none for the usual names, which are in logs/."""
    typed = [options[flag] for flag in FLAGS if options.get(flag) not in (None, "", DEFAULT, "/dev/null")]
    found = [_filled(one, options, job_id) for one in typed for job_id in job_ids]
    return [one for one in dict.fromkeys(found) if one]


def of_an_array(options: Mapping[str, str]) -> dict[str, str]:
    """The options of these files for an array. Each task has its own file unless the user has named the files."""
    named = {flag: options[flag] for flag in FLAGS if options.get(flag)}
    return named if named.get("output") != DEFAULT else {**named, "output": DEFAULT_OF_AN_ARRAY}


def _filled(name: str, options: Mapping[str, str], job_id: str) -> str:
    """The name for one job, with * for parts that only Slurm knows; empty if * would match files of other jobs."""
    array, _, index = job_id.partition("_")
    known = {"A": array, "a": index or "4294967294", "x": options.get("job-name"), "%": "%"}
    if not index:
        known |= {"j": job_id, "J": job_id}
    open_ended = False

    from glob import escape  # imported here because every launch imports this module

    def fill(match: re.Match[str]) -> str:
        nonlocal open_ended
        value = known.get(match[2])
        open_ended = open_ended or (value is None and match[2] in "jJ")
        return "*" if value is None else value.rjust(int(match[1] or 0), "0")

    parts: list[str] = []
    at = 0
    for match in _PATTERN.finditer(name):
        parts += [escape(name[at : match.start()]), fill(match)]
        at = match.end()
    if open_ended and name.startswith("/"):
        return ""
    return "".join([*parts, escape(name[at:])])
