"""The meaning of Slurm's output about a job."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from launcher.clusters.base import RunState
from launcher.clusters.job import JobRecord
from launcher.config.time_limit import limit_s

# In order of precedence. PREEMPTED is a job that was not queued again. Source: squeue(1), JOB STATE CODES.
_WORDS = {
    RunState.PENDING: "PENDING REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT RESV_DEL_HOLD",
    RunState.RUNNING: "RUNNING CONFIGURING COMPLETING RESIZING SIGNALING STAGE_OUT STOPPED SUSPENDED",
    RunState.FINISHED: "COMPLETED",
    RunState.CANCELLED: "CANCELLED",
    RunState.TIMEOUT: "TIMEOUT DEADLINE",
    RunState.FAILED: "FAILED NODE_FAIL BOOT_FAIL OUT_OF_MEMORY LAUNCH_FAILED PREEMPTED",
}
_STATES = {word: state for state, words in _WORDS.items() for word in words.split()}


def parse_state(text: str) -> RunState | None:
    """The state in a line of sacct, such as `CANCELLED by 1000` or `COMPLETED+`; None for an unknown word."""
    return parse_states([word.rstrip("+") for word in text.split()[:1]])


def parse_states(words: Sequence[str]) -> RunState | None:
    """The state that follows from a job's state words; None for unknown words.

    The earliest stage wins, also for several jobs of one id: [COMPLETED, PENDING] is PENDING. A REVOKED
    job runs on another cluster of a federation, so this cluster does not know its state.
    """
    known = [_STATES[word] for word in words if word in _STATES and "REVOKED" not in words]
    return min(known, key=list(_WORDS).index, default=None)


def parse_record(text: str) -> JobRecord | None:
    """The job in a line of `scontrol show job --oneliner`; None for anything else.

    The restart count of a job that Slurm takes off its nodes to queue it again increases at once; that of a cancelled job does
    not. Both are COMPLETING while they end (observed with 22.05).
    """
    facts = {key: value for key, equals, value in (word.partition("=") for word in text.split()) if equals}
    if "JobState" not in facts:
        return None
    return JobRecord(
        running=facts["JobState"] == "RUNNING",
        restarts=int(facts.get("Restarts", "0")),
        ends=_ends(facts),
        head=facts.get("BatchHost", ""),
        nodes=facts.get("NodeList", ""),
    )


def _ends(facts: Mapping[str, str]) -> float | None:
    """The time of the job's limit. The EndTime of a job that already ends is now, so the limit is computed from its start."""
    try:
        if facts["JobState"] == "RUNNING":
            return datetime.fromisoformat(facts["EndTime"]).timestamp()
        return datetime.fromisoformat(facts["StartTime"]).timestamp() + limit_s(facts["TimeLimit"])
    except (KeyError, ValueError):
        return None
