"""The nonces of a run dir's lease: which supervisor of which job may write there."""

from typing import Any, cast

from launcher.errors import RunError
from launcher.reading import read_json
from launcher.run.dir import RunDir


def split_nonce(nonce: str) -> tuple[str, int]:
    """The nonce of the job's first supervisor, and the term of the one with this nonce, from 1."""
    first, _, term = nonce.partition(".")
    return first, int(term) if term.isdecimal() else 1


def join_nonce(first: str, term: int) -> str:
    """The nonce of the supervisor of a term, in the job whose first supervisor had the nonce `first`."""
    return first if term == 1 else f"{first}.{term}"


def leased_to(run: RunDir, nonce: str | None) -> bool:
    """Whether no other supervisor holds the lease; true if `nonce` is None, as for a rank that was started by hand.

    lease.json names the job, and a claim of the next term says that another supervisor of the same job has taken over.
    """
    if nonce is None:
        return True
    first, term = split_nonce(nonce)
    try:
        holder = read_json(run.lease)
    except FileNotFoundError:
        return not run.path.is_dir()
    except RunError:
        return True  # if the file system does not answer, nothing is known about the lease
    if isinstance(holder, dict) and cast("dict[str, Any]", holder).get("nonce") != first:
        return False
    try:
        return not run.claim(join_nonce(first, term + 1)).exists() and _led_in_term(run, first) <= term
    except OSError:
        return True


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
