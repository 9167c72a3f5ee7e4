"""The hosts that the next job of a run leaves out: a pure function of what this run and the user's other runs have seen."""

from collections.abc import Iterable
from dataclasses import dataclass

from launcher.run.totals import Faults
from launcher.supervise.policy import blamed, suspects


@dataclass(frozen=True, slots=True, kw_only=True)
class Avoided:
    """The hosts that are left out, by the reason."""

    lost: tuple[str, ...] = ()
    """The hosts that are lost now, and probably still down when the next job could start."""
    suspects: tuple[str, ...] = ()
    """Other hosts of this job that had faults in this run."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.lost, *self.suspects)

    def choices(self) -> list["Avoided"]:
        """What to exclude: all hosts; then, if the cluster has too few other nodes, only the lost ones."""
        both = [self, Avoided(lost=self.lost)] if self.suspects else [self]
        return [one for one in both if one.hosts]

    def __str__(self) -> str:
        named = [(self.lost, "lost"), (self.suspects, "with faults in this run")]
        return " and ".join(f"{', '.join(hosts)} ({why})" for hosts, why in named if hosts)


def hosts_to_avoid(
    lost: Iterable[str], own: Iterable[str], unfit: Iterable[str], faults: Faults, known: Iterable[str]
) -> Avoided:
    """What the next job leaves out.

    `lost`: hosts whose loss has ended the attempt; `own`: the hosts of this job; `unfit`: those of them that have failed the
    check before the ranks; `known`: suspects by the records of all runs. A host is also left out if it is a suspect in this
    run, or if it has failed in it once, or is unfit, and is a known suspect. One that has failed only in other runs is not: it
    has just carried this run, and to exclude it needs a new job, which can wait longer. Within a job it is the last choice.
    """
    down = tuple(dict.fromkeys(lost))
    here = {*blamed(faults), *unfit}
    bad = {*suspects(faults), *(host for host in known if host in here)}
    return Avoided(
        lost=down, suspects=tuple(host for host in dict.fromkeys(own) if host in bad and host not in down)
    )
