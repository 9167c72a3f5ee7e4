"""insurance.json: the job that waits behind a job without its batch host, and continues the run if that one ends too early."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from enum import Enum

from launcher.errors import RunError
from launcher.run.dir import RunDir, job_number
from launcher.run.lines import write_text


class InsuranceState(Enum):
    """What becomes of an insurance."""

    ASKED = "asked"
    """It is being submitted, or was refused."""
    WAITS = "waits"
    """It is in the queue, and nobody has needed it so far."""
    TAKEN = "taken"
    """It is the run's own job from now on."""
    OVER = "over"
    """It is not needed any more: its job is cancelled, or ends by itself when it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Insurance:
    """The content of insurance.json."""

    cluster: str
    """The kind of cluster that has the job."""
    job_id: str | None
    """The job; None while it is being submitted."""
    after: str
    """The job behind which it waits."""
    script: str
    """SHA-256 of the job script with which it was submitted."""
    state: InsuranceState

    def with_state(self, state: InsuranceState) -> "Insurance":
        """The same in another state."""
        return replace(self, state=state)

    @property
    def waiting(self) -> str | None:
        """The job, if it waits and nobody has needed it so far."""
        return self.job_id if self.state is InsuranceState.WAITS else None


def read_insurance(run: RunDir) -> Insurance | None:
    """The run's newest insurance; None if it never had one. RunError for a file that the launcher has not written."""
    if not os.path.lexists(run.insurance):
        return None
    try:
        values = run.read_json(run.insurance)
        known = {name: values[name] for name in ("cluster", "job_id", "after", "script")}
        return Insurance(**known, state=InsuranceState(values["state"]))
    except (RunError, ValueError) as error:
        why = f"{run.insurance} is not valid (state)" if isinstance(error, ValueError) else str(error)
        raise RunError(
            f"{why} It names the job that waits as insurance of {run.name}. See with squeue --me whether it is in the queue, "
            f"cancel it if the run does not need it, and remove {run.insurance}"
        ) from None


def write_insurance(run: RunDir, insurance: Insurance) -> None:
    """Writes insurance.json."""
    values = {**asdict(insurance), "state": insurance.state.value}
    write_text(run.insurance, json.dumps(values) + "\n", durable=True)


def script_digest(run: RunDir) -> str:
    """SHA-256 of the run's job script, which a job in the queue does not read again."""
    return hashlib.sha256(run.job_script.read_bytes()).hexdigest()


def waiting_insurance(run: RunDir) -> tuple[Insurance | None, str]:
    """The insurance that waits for the run, None for none, and what is wrong with its file, empty for nothing."""
    try:
        found = read_insurance(run)
    except RunError as error:
        return None, str(error)
    return (found if found and found.waiting else None), ""


def is_insured(run: RunDir) -> bool:
    """Whether a job waits as insurance of the run, or is being submitted. RunError as of read_insurance."""
    found = read_insurance(run)
    return run.insurance_intent.exists() or (found is not None and found.waiting is not None)


def is_same_job(one: str | None, other: str | None) -> bool:
    """Whether two ids name the same job; the name of a cluster can follow in one of them."""
    return one is not None and other is not None and job_number(one) == job_number(other)
