"""The nonces of a run dir's lease: which supervisor of which job may write there.

lease.json names a job, by the nonce of its first supervisor. Each further term of the job has a claim: a file that is made by
an exclusive hard link and never removed. The newest claim says who has the run dir: a later supervisor of the same job, another
job, whose own claims then count, or nobody, if the job has given it up. lease.json is only replaced, and may be out of date:
the claims lead from an old content to the present holder. So a supervisor that was replaced cannot take the run dir from a
later one.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from launcher.errors import RunError
from launcher.reading import read_json
from launcher.run.dir import RunDir

GIVEN_UP = "given_up"
"""Key of a lease or claim that is true if nobody has the run dir any more."""
_NONCE = re.compile(r"[0-9a-z]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Who has a run dir."""

    job: dict[str, Any]
    """What the first supervisor of the job wrote of itself."""
    first: str
    """Its nonce."""
    term: int
    """The newest term of the job."""
    given_up: bool
    """Whether the job has given it up."""


def split_nonce(nonce: str) -> tuple[str, int]:
    """The nonce of the job's first supervisor, and the term of the one with this nonce, from 1."""
    first, _, term = nonce.partition(".")
    return first, int(term) if term.isdecimal() else 1


def join_nonce(first: str, term: int) -> str:
    """The nonce of the supervisor of a term, in the job whose first supervisor had the nonce `first`."""
    return first if term == 1 else f"{first}.{term}"


def newest_term(run: RunDir, first: str, known: int = 1) -> int:
    """The newest term that was claimed after the job whose first supervisor had the nonce `first`; `known`: one that was."""
    while run.claim(join_nonce(first, known + 1)).exists():
        known += 1
    return known


def find_held(run: RunDir) -> Held:
    """Who has the run dir. FileNotFoundError if nobody ever had it; RunError or OSError if a file cannot be read, or is
    damaged."""
    values, passed = _read(run.lease), set[str]()
    while True:
        first = split_nonce(values["nonce"])[0]
        term = newest_term(run, first)
        newest = _read(run.claim(join_nonce(first, term))) if term > 1 else values
        if split_nonce(newest["nonce"])[0] == first:
            given_up = newest.get(GIVEN_UP) is True or values.get(GIVEN_UP) is True
            return Held(job=values, first=first, term=term, given_up=given_up)
        if first in passed:
            raise RunError(f"{run.lease} and the claims beside it lead in a circle; were they edited?")
        passed.add(first)
        values = newest


def leased_to(run: RunDir, nonce: str | None) -> bool:
    """Whether no other supervisor holds the lease; true if `nonce` is None, as for a rank that was started by hand."""
    if nonce is None:
        return True
    first, term = split_nonce(nonce)
    try:
        held = find_held(run)
    except FileNotFoundError:
        return not run.path.is_dir()
    except (RunError, OSError):
        return True  # if the file system does not answer, nothing is known about the lease
    return (held.first, held.term) == (first, term) and not held.given_up and _led_in_term(run, first) <= term


def _read(path: Path) -> dict[str, Any]:
    found = read_json(path)
    values = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    nonce = values.get("nonce")
    if not isinstance(nonce, str) or not _NONCE.fullmatch(split_nonce(nonce)[0]):
        raise RunError(f"{path} does not name a supervisor; was it edited?")
    return values


def _led_in_term(run: RunDir, first: str) -> int:
    """The term of the job's newest leader by leader.json, 0 if it does not say.

    A client of NFS can take a new file for missing for a minute, but sees new content of an existing one at once.
    """
    try:
        told = read_json(run.leader)
    except (FileNotFoundError, RunError):
        return 0
    if not isinstance(told, dict):
        return 0
    values = cast("dict[str, Any]", told)
    term = values.get("term")
    ours = values.get("first") == first and values.get("claimed") is True
    return term if ours and isinstance(term, int) else 0
