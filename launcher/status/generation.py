"""The server that generates answers for a run, by the run's own files: where it is, and how long the ranks wait for it."""

from collections.abc import Mapping
from statistics import median
from typing import Any, TypedDict

from launcher.run.events.supervisor import ServerLost, ServerReady
from launcher.run.history import History
from launcher.units import plural

_MOST, _LEAST = 0.6, 0.15
"""Shares of the time that ranks wait for the server: above the first the ranks wait too much, below the second the server."""
_ENOUGH = 5
"""Logged steps before there is a warning."""


class GenerationServerRow(TypedDict):
    """The server that generates answers."""

    host: str | None
    """Its node; null before it has answered."""
    url: str | None
    """Its address when it answered last; null before."""
    answers: bool
    """Whether it has answered and was not lost since."""
    lost: int
    """How often it was lost: it has ended, stopped answering, or its node was lost."""
    wait_share: float | None
    """Share of their time that the ranks wait for answers and for the sending of weights, as the median of the newest logged
    steps; null before the first."""


def generation_of(plan: Mapping[str, Any], history: History) -> GenerationServerRow | None:
    """The run's server; None for a run without one."""
    planned = plan.get("generation")
    if not planned or not planned.get("command"):
        return None
    told = [event for event in history.events if isinstance(event, ServerReady | ServerLost)]
    ready = next((event for event in reversed(told) if isinstance(event, ServerReady)), None)
    shares = history.course.wait_shares
    return {
        "host": ready.host if ready else None,
        "url": ready.url if ready else None,
        "answers": bool(told) and told[-1] is ready,
        "lost": sum(isinstance(event, ServerLost) for event in told),
        "wait_share": round(median(shares), 4) if shares else None,
    }


def generation_line(found: GenerationServerRow) -> str:
    """The server as one line."""
    where = f"{found['host']} ({found['url']})" if found["host"] else "a server that has not answered yet"
    if found["host"] and not found["answers"]:
        where += ", does not answer"
    if found["lost"]:
        where += f", lost {plural(found['lost'], 'time')}"
    share = found["wait_share"]
    return where if share is None else f"{where}; the ranks wait for it {share:.0%} of the time"


def starving(found: GenerationServerRow | None, history: History) -> str | None:
    """A warning if ranks or server wait for each other most of the time; None otherwise."""
    if found is None or found["wait_share"] is None or len(history.course.wait_shares) < _ENOUGH:
        return None
    share = found["wait_share"]
    if share > _MOST:
        return (
            f"generation: the ranks wait {share:.0%} of the time for answers; a server with more GPUs "
            "(generation.gpus_per_node and tensor_parallel_size) or a lower trainer.max_completion_length lets them train more"
        )
    if share < _LEAST:
        return (
            f"generation: the server is in use {share:.0%} of the time, and its node waits for the ranks otherwise; fewer GPUs "
            "for it (generation.gpus_per_node), more nodes that train, or generation.mode=colocate cost less"
        )
    return None
