"""What clusters without a queue of their own share: the job script is started by the command, and nothing is submitted."""

import time
from collections.abc import Sequence
from pathlib import Path

from launcher.clusters.base import Cluster
from launcher.clusters.job import Start
from launcher.clusters.pure import Options


class StartedHere(Cluster):
    """A cluster whose runs are children of the command. A subclass names it before the class of the scheduler."""

    queued = False

    def notice_s(self, options: Options) -> float | None:
        """None: no time limit was requested with these options."""
        del options

    def when_starts(self, jobs: Sequence[Options], folder: str, freed: int = 0) -> list[Start]:
        """The present time, since nothing waits in a queue."""
        del folder, freed
        return [Start(at=time.time(), how="without a queue") for _ in jobs]

    def by_hand(self, script: str) -> str:
        """The bash command."""
        return f"`bash {script}`"

    def submit_command(self, script: Path) -> list[str]:
        """bash with the script."""
        return ["bash", str(script)]

    def submit(
        self,
        script: Path,
        *,
        after: str | None = None,
        avoid: Sequence[str] = (),
        array: str | None = None,
        keep_open: int | None = None,
    ) -> str:
        """Raises ClusterError: a run is started here, and nothing is queued."""
        del script, after, avoid, array, keep_open
        raise self.cannot("queue a job")
