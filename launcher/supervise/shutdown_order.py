"""The end of an attempt that a signal to the supervisor asks for: the ranks are told to save and to end, and have some time."""

import signal
import time

from launcher.plan import LaunchPlan
from launcher.protocol.to_agent import Shutdown
from launcher.run import RunDir
from launcher.run.events import supervisor as noted
from launcher.run.events.checkpoints import Saved
from launcher.supervise.attempt_nodes import AttemptNodes
from launcher.supervise.children import StopSignal
from launcher.supervise.policy import AttemptContext, EndedAttempt, How, StopReason

_TRAINING = ("first step", "step", "save", "eval")
"""Phases in which a rank reacts to the order to shut down."""


class ShutdownOrder:
    """What the signals of one attempt have led to."""

    def __init__(self, run: RunDir, plan: LaunchPlan, stopped: StopSignal, context: AttemptContext) -> None:
        self._run, self._plan, self._stopped, self._context = run, plan, stopped, context
        self.cause: StopReason | None = None
        """Why the attempt must end; None before a signal came."""
        self._heard: int | None = None
        self._can_save, self._deadline = False, 0.0

    def hear(self, ranks: AttemptNodes) -> None:
        """Looks for a signal, and tells the ranks at the first one. A cancel may come after the warning of the time limit."""
        number = self._stopped.signal
        if number in (None, self._heard):
            return
        came = time.monotonic()
        if self._heard is None:
            self._can_save = (
                self._plan.save is not None
                and number != signal.SIGUSR2
                and all(ranks.phase(rank) in _TRAINING for rank in range(self._plan.topology.world_size))
            )
            if self._can_save:  # before anything else, because the time may be short
                ranks.nodes.tell(ranks.used, Shutdown())
        self._heard = number
        self.cause, seconds = self._context.explain_signal(number)
        self._deadline = came + seconds if self._can_save else 0.0
        self._run.note(
            noted.Told(attempt=self._context.number, why=self.cause.value, seconds=round(seconds, 1))
        )

    def shut_down(self) -> EndedAttempt:
        """The end of an attempt whose ranks have all saved and ended."""
        reason = self.cause.value if self.cause else "the ranks saved and shut down by themselves"
        return EndedAttempt(how=How.SHUT_DOWN, told=self.cause or StopReason.NOTHING, reason=reason)

    def cut(self, *, failed: bool) -> EndedAttempt | None:
        """The end of an attempt whose ranks have no more time, or of which one has `failed` meanwhile; None before that."""
        if self.cause is None or not (time.monotonic() > self._deadline or self._stopped.again or failed):
            return None
        reason = f"{self.cause.value}{self._saved_or_not(self.cause)}"
        return EndedAttempt(
            how=How.CUT, code=128 + (self._stopped.signal or 15), told=self.cause, reason=reason
        )

    def _saved_or_not(self, cause: StopReason) -> str:
        """Whether the ranks made the requested save before they were ended; empty if a run saves nothing or is pruned."""
        if cause is StopReason.PRUNED or self._plan.save is None:
            return ""
        events = self._run.read_events(Saved, noted.Told)
        since = max(
            (at for at, event in enumerate(events) if isinstance(event, noted.Told)), default=len(events)
        )
        saved = [event.step for event in events[since:] if isinstance(event, Saved)]
        if saved:
            return f"; step {saved[-1]} is saved, but the ranks did not end in time"
        if not self._can_save:
            return "; no save was requested, because not all ranks were training"
        return "; the ranks could not save in time"
