"""The words for the end of an attempt, in the events and in the supervisor's decisions."""

from enum import Enum


class How(Enum):
    """How an attempt of the ranks ended."""

    FINISHED = "finished"
    CRASHED = "crashed"
    """A rank ended with an exit code, or by a signal that the launcher did not send."""
    HUNG = "hung"
    """A rank made no progress for too long."""
    LOST = "lost"
    """A node no longer answers."""
    SHUT_DOWN = "shut_down"
    """The ranks saved and ended because they were ordered to shut down. Launchers before 0.2 wrote `left`."""
    CUT = "cut"
    """The ranks were ended before they could save, because the supervisor had to end."""
    FENCED = "fenced"
    """Ended because another supervisor has the run's lease."""


class StopReason(Enum):
    """Why the supervisor had to end."""

    NOTHING = "nothing"
    TIME_LIMIT = "time limit"
    PREEMPTED = "pre-empted"
    """The scheduler queues the job again by itself."""
    ASKED = "asked to shut down"
    """Only a signal came: the cluster wants its nodes back, and does not queue the job again."""
    CANCELLED = "cancelled"
    PRUNED = "pruned"
    """The sweep's pruner ended the trial, because it is not among the promising ones."""
