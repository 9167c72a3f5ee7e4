"""The types of the values that verbs read from the files of a run dir or a sweep, which anybody may edit."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

from launcher.errors import RunError
from launcher.run.record import is_kind

_ID = re.compile(r"[^\W_][\w.:;@+\[\]-]{0,199}")
"""A job id of any scheduler. It cannot be taken for an option, a word of a shell or a folder."""
_SCRIPT = re.compile(r"job(_\d{1,9})?\.sbatch")
_INDICES = re.compile(r"\d[\d,:-]*(%\d+)?")


class _Array(TypedDict, total=False):
    script: str
    array: str
    first: int
    indices: list[int]
    limited: bool


class _Queued(TypedDict, total=False):
    job_id: str
    script: str
    array: str
    again: bool
    time: str


class _Axis(TypedDict, total=False):
    key: str
    choices: list[str]


_KINDS: Mapping[str, Mapping[str, Any]] = {
    "plan.json": {
        "cluster": str, "device": str, "topology": Mapping[str, Any], "save": Mapping[str, Any] | None,
        "time": Mapping[str, Any] | None, "memory": Mapping[str, Any] | None, "facts": Mapping[str, Any],
    },
    "job.json": {"cluster": str, "job_id": str, "started": int},
    "insurance.json": {"cluster": str, "job_id": str | None, "after": str, "script": str, "state": str},
    "lease.json": {"cluster": str, "job_id": str | None, "restart": int, "host": str, "pid": int, "nonce": str},
    "sweep.json": {
        "cluster": str, "objective": str, "direction": str, "sampler": str, "pruner": str, "parameters": Sequence[str],
        "trials": int, "dry_run": bool, "typed": Sequence[str], "work_dir": str, "config_dir": str | None,
        "budget": Mapping[str, float | str | None], "space": Mapping[str, _Axis], "parallel": int | None, "seed": int,
        "arrays": Sequence[_Array], "hydra": Sequence[str], "fixed": Sequence[str], "facts": Sequence[Mapping[str, Any]],
        "reduction_factor": int, "first_report": int | None, "last_report": int | None, "fail_fast": bool,
        "together": Mapping[str, Any] | None,
    },
    "together.json": {"group": str, "trials": int},
    "jobs.json": {"arrays": Sequence[_Queued], "told": bool},
}  # fmt: skip
"""Name of the file -> its keys and the types of their values."""


_NEEDED: Mapping[str, Sequence[str]] = {
    "job.json": ("cluster", "job_id"),
    "insurance.json": ("cluster", "job_id", "after", "script", "state"),
    "together.json": ("group", "trials"),
}
"""Name of the file -> keys without which it has no meaning."""


def check_kinds(path: Path, values: Mapping[str, Any]) -> None:
    """RunError for a value of another type than the launcher writes there, a missing one, and for an invalid job id."""
    for key in _NEEDED.get(path.name, ()):
        if key not in values:
            raise RunError(f"{path} has no {key}; was it edited?")
    for key, kind in _KINDS.get(path.name, {}).items():
        if key in values and not is_kind(values[key], kind):
            raise RunError(
                f"{path}: {key} is {_shown(values[key])}, which the launcher never writes there; was it edited?"
            )
    if path.name == "job.json" and "job_id" in values:
        check_job_id(path, str(values["job_id"]))
    if path.name == "insurance.json":
        for key in ("job_id", "after"):
            if values[key] is not None:
                check_job_id(path, str(values[key]))
    if path.name in ("sweep.json", "jobs.json"):
        for one in values.get("arrays", ()):
            _check_array(path, one)


def _check_array(path: Path, one: Mapping[str, Any]) -> None:
    """RunError for an array of a sweep if a scheduler's command could take its script or its indices for something else."""
    for name, grammar in (("script", _SCRIPT), ("array", _INDICES)):
        if name in one and not grammar.fullmatch(one[name]):
            raise RunError(
                f"{path}: {name} is {_shown(one[name])}, which the launcher never writes there; was it edited?"
            )
    if "job_id" in one:
        check_job_id(path, one["job_id"])


def check_job_id(path: Path, job_id: str) -> None:
    """RunError for an invalid job id, since it is passed to a scheduler's commands."""
    if not _ID.fullmatch(job_id):
        raise RunError(f"{path}: {_shown(job_id)} is not a job id; was it edited?")


OUTCOME: Mapping[str, Any] = {
    "state": str, "value": float | None, "intermediate": Mapping[str, float], "error": str | None, "started": str | None,
    "ended": str | None, "gpu_s": float | None,
}  # fmt: skip
"""The keys of outcomes/N.json."""
CLAIM: Mapping[str, Any] = {
    "worker": Mapping[str, Any] | None, "time": str, "values": Mapping[str, str] | None, "params": Mapping[str, Any] | None,
}  # fmt: skip
"""The keys of claims/N.G.json."""


def fits(values: Any, kinds: Mapping[str, Any]) -> bool:
    """Whether it is an object whose values all have these types."""
    return isinstance(values, Mapping) and all(
        is_kind(value, kinds[key]) for key, value in cast("Mapping[str, Any]", values).items() if key in kinds
    )


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
