"""Runs a rehearsal from its settings to its last check."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from launcher.clusters.choose import make_cluster
from launcher.launching.hub_gate import check_hub
from launcher.launching.launch import plan_launch, write
from launcher.plan import LaunchPlan
from launcher.rehearsal.checks import Check, RehearsalChecks
from launcher.rehearsal.copy import Settings, compose_copy
from launcher.rehearsal.job import RehearsedJob
from launcher.run import RunDir


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
        run=run, checks=RehearsalChecks(RehearsedJob(run, cluster, settings.patience_s), plan, tell).carry()
    )
