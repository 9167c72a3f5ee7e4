"""A rehearsal and its checks: each really kills, signals or requeues the run and waits for a new checkpoint."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from launcher.clusters.registry import make_cluster
from launcher.errors import ClusterError
from launcher.launching.hub_gate import check_hub
from launcher.launching.launch import plan_launch, write
from launcher.plan import LaunchPlan
from launcher.rehearsal.copy import Settings, compose_copy
from launcher.rehearsal.job import Failed, RehearsedJob
from launcher.run import RunDir
from launcher.run.events.base import How
from launcher.run.events.checkpoints import Resumed, Saved, Stepping
from launcher.run.events.supervisor import Ended, Stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The outcome of one check of a rehearsal."""

    name: str
    """start, kill, time limit, requeue or cancel."""
    passed: bool | None
    """None if this cluster cannot do the check."""
    seconds: float
    """Duration of the check."""
    said: str
    """What was seen, or what failed."""

    def line(self) -> str:
        """The check as a line of text."""
        word = {True: "pass", False: "FAIL", None: "left out"}[self.passed]
        return f"{word:<10}{self.name:<12}{self.seconds:7.1f} s  {self.said}"


class RehearsalChecks:
    """The checks of one rehearsal."""

    def __init__(self, job: RehearsedJob, plan: LaunchPlan, tell: Callable[[Check], None]) -> None:
        self.job, self.plan, self._tell = job, plan, tell

    def run_all(self) -> list[Check]:
        """Runs all checks and reports each as it ends; the run is over afterwards."""
        checks: list[Check] = []
        try:
            for name, check in (
                ("start", self._starts),
                ("kill", self._survives_a_kill),
                ("time limit", self._survives_the_time_limit),
                ("requeue", self._survives_a_requeue),
                ("cancel", self._ends),
            ):
                begun = time.monotonic()
                passed, text = self._outcome(check, checks)
                checks.append(
                    Check(name=name, passed=passed, seconds=round(time.monotonic() - begun, 2), said=text)
                )
                self._tell(checks[-1])
        finally:
            self.job.end_for_good()
        return checks

    def _outcome(self, check: Callable[[], str | None], before: list[Check]) -> tuple[bool | None, str]:
        if before and not self.job.lives():
            return False, "the run had already ended"
        try:
            text = check()
        except (Failed, ClusterError) as error:
            return False, str(error)
        return (None, "it needs a job in a queue that can be requeued") if text is None else (True, text)

    def _starts(self) -> str:
        self.job.start()
        saved = self.job.wait(Saved, 0, "a checkpoint")
        return f"training, saved at step {saved.step}"

    def _survives_a_kill(self) -> str:
        mark, jobs = self.job.mark(), self.job.jobs()
        rank = self.plan.topology.world_size - 1
        self.job.kill_rank(rank)
        ended = self.job.wait(Ended, mark, "the end of the killed rank")
        if ended.how != How.CRASHED.value:
            raise Failed(f"rank {rank} was killed, but the attempt ended as {ended.how}: {ended.reason}")
        text = self._resumes(mark, ended)
        if self.job.jobs() != jobs:
            text += "; in another job, because a node was excluded"
        return f"rank {rank} killed; {text}"

    def _survives_the_time_limit(self) -> str:
        ended, mark = self.job.warn_of_time_limit(self.job.mark())
        return f"warned of its time limit; {self._resumes(mark, ended)}"

    def _survives_a_requeue(self) -> str | None:
        mark = self.job.mark()
        if not self.job.requeue(self.plan):
            return None
        return f"requeued; {self._resumes(mark, self.job.wait_for_shutdown(mark))}"

    def _ends(self) -> str:
        mark = self.job.mark()
        self.job.cancel()
        self.job.wait(Stopped, mark, "its end", may_stop=True)
        events = self.job.run.read_events()[mark:]
        saved = [event.step for event in events if isinstance(event, Saved)]
        self.job.wait_until_gone()
        return (
            f"cancelled; saved at step {saved[-1]}, and nothing is queued"
            if saved
            else "cancelled, without a save"
        )

    def _resumes(self, mark: int, ended: Ended) -> str:
        """Waits for a checkpoint of the next attempt, which must have resumed from the last save of the ended one."""
        before = max(
            event.step for event in self.job.run.read_events(Saved) if event.attempt <= ended.attempt
        )
        resumed = self.job.wait(Resumed, mark, "the next attempt")
        saved = self.job.wait(Saved, mark, "a new checkpoint", attempt=resumed.attempt)
        if resumed.step != before:
            raise Failed(f"it resumed from step {resumed.step}, although step {before} was saved")
        stepping = next(
            (event for event in self.job.run.read_events(Stepping) if event.attempt == resumed.attempt),
            None,
        )
        took = f" after {stepping.restart_s:.1f} s" if stepping else ""
        return f"resumed from step {before}{took} and saved at step {saved.step}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """A rehearsal that has ended."""

    run: RunDir
    checks: list[Check]

    @property
    def failed(self) -> list[str]:
        """Names of the failed checks; a check that the cluster cannot do does not count as failed."""
        return [check.name for check in self.checks if check.passed is False]


def rehearse(
    overrides: list[str],
    settings: Settings,
    begin: Callable[[RunDir, LaunchPlan], None],
    tell: Callable[[Check], None],
) -> Rehearsed:
    """Runs all checks of a rehearsal; `begin` is called with its run, and `tell` with each check as it ends."""
    planned = plan_launch(compose_copy(overrides, settings), datetime.now())
    check_hub(planned.composed.config, planned.plan)
    cluster = make_cluster(planned.plan.cluster)
    run, plan = write(planned)
    begin(run, plan)
    return Rehearsed(
        run=run, checks=RehearsalChecks(RehearsedJob(run, cluster, settings.patience_s), plan, tell).run_all()
    )
