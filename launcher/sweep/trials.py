"""The contents of a sweep's files: its planned trials, and the arrays in which they are queued."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.plan import LaunchPlan
from launcher.run import JOB_SCRIPT


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrial:
    """A trial that has been planned."""

    number: int
    values: Mapping[str, str]
    """The swept keys, as they would be typed."""
    typed: Sequence[str]
    """All overrides."""
    facts: int
    """Index of the facts, in the spec, with which its plan was made."""
    digest: str
    """Digest of its configuration and plan; those made on the node must have the same."""
    shape: Mapping[str, str]
    """Its request to the scheduler."""
    group: str | None = None
    """Equal for trials that can train on one base model; None for a trial that runs alone."""

    def line(self) -> str:
        """Its line in trials.jsonl."""
        kept = {
            "number": self.number, "values": self.values, "typed": self.typed, "facts": self.facts, "digest": self.digest,
            **({"group": self.group} if self.group else {}),
        }  # fmt: skip
        return json.dumps(kept, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """Trials, or workers, in one job array."""

    script: str
    first: int
    """Trial = first + array index."""
    indices: tuple[int, ...]
    shape: Mapping[str, str]
    parallel: int | None

    @property
    def spec(self) -> str:
        """Its indices in the form that Cluster.array_options takes."""
        limit = "" if self.parallel is None else f"%{self.parallel}"
        return f"{ranges(self.indices)}{limit}"


def digest(config: Config, plan: LaunchPlan, folder: Path) -> str:
    """The digest of a trial's configuration and plan, independent of the folder of the sweep."""
    text = f"{config!r}\n{plan!r}".replace(str(folder), "SWEEP")
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def shape(plan: LaunchPlan) -> dict[str, str]:
    """The request of a trial to the scheduler, without the options that differ for each job."""
    return find_cluster(plan.cluster).shape(plan.job_options)


def with_longest_notice(planned: Sequence[PlannedTrial], plan: LaunchPlan) -> list[PlannedTrial]:
    """The trials, after each got the earliest signal before the time limit among the trials with otherwise equal requests and
    the plan.

    Larger adapters take longer to save. One job array, or one kind of worker, has one signal for all.
    """
    cluster = find_cluster(plan.cluster)

    def notice_in(shape: Mapping[str, str]) -> dict[str, str]:
        return {flag: value for flag, value in shape.items() if cluster.notice_s({flag: value}) is not None}

    def seconds(notice: Mapping[str, str]) -> float:
        return cluster.notice_s(notice) or 0.0

    least = notice_in(shape(plan))
    longest: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    rests = [
        tuple((flag, value) for flag, value in one.shape.items() if flag not in notice_in(one.shape))
        for one in planned
    ]
    for trial, rest in zip(planned, rests, strict=True):
        longest[rest] = max(longest.get(rest, {}), notice_in(trial.shape), least, key=seconds)
    return [
        dataclasses.replace(trial, shape={**trial.shape, **longest[rest]})
        for trial, rest in zip(planned, rests, strict=True)
    ]


def make_arrays(
    numbered: Sequence[tuple[int, Mapping[str, str]]], largest: int, parallel: int | None, taken: int = 0
) -> list[Array]:
    """The fewest arrays that hold all trials, each with one shape and with indices below `largest` (Cluster.largest_array).

    `taken`: number of scripts that the sweep already has.
    """
    groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for number, shape in numbered:
        groups.setdefault(tuple(shape.items()), []).append(number)
    arrays: list[Array] = []
    for shape, numbers in groups.items():
        windows: dict[int, list[int]] = {}
        for number in sorted(numbers):
            windows.setdefault(number // largest * largest, []).append(number)
        for first, inside in windows.items():
            at = len(arrays) + taken
            arrays.append(
                Array(
                    script=JOB_SCRIPT.replace(".", f"_{at}.") if at else JOB_SCRIPT,
                    first=first,
                    indices=tuple(number - first for number in inside),
                    shape=dict(shape),
                    parallel=parallel,
                )
            )
    return arrays


def ranges(numbers: Iterable[int]) -> str:
    """Sorted numbers in short form, such as 0-3,7."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)


def facts_line(facts: Any) -> dict[str, Any]:
    """Facts as JSON values, without the run dir, which differs for each trial."""
    values = dataclasses.asdict(facts)
    del values["run_dir"]
    return json.loads(json.dumps(values))
