"""What a rank knows of the server that generates answers: where it is now, how long the ranks have waited, and the seed."""

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from launcher.errors import RunError
from launcher.plan.generation import Generation
from launcher.protocol.to_agent import ServerAt
from launcher.train.heartbeat import Heartbeat

_POLL_S = 0.1


class GenerationService:
    """The server, as this rank sees it."""

    def __init__(
        self, generation: Generation, heartbeat: Heartbeat, seed: int, ports: tuple[int, int] | None
    ) -> None:
        self.generation, self.ports, self._seed = generation, ports, seed
        """`ports`: those that the processes of the job may use; None for any."""
        self._heartbeat = heartbeat
        self.step: Callable[[], int] = int
        """Optimizer steps that are done."""
        self.serial = 0
        """Number of the server's start that this rank is connected to; 0 before the first."""
        self.waited_s = 0.0
        """Seconds that this rank has waited for answers and for the sending of weights."""
        self._logged, self._at = 0.0, 0.0

    def wait(self) -> ServerAt:
        """A server that is newer than the one that this rank was connected to; RunError if none comes in time. The supervisor
        restarts a server, or ends this rank."""
        limit = self.generation.start_timeout_s * (self.generation.restarts + 1)
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            at = self._heartbeat.server()
            if at is not None and at.serial > self.serial:
                self.serial = at.serial
                return at
            time.sleep(_POLL_S)
        raise RunError(
            f"no generation server has answered within {limit:g} s; its log is in logs/ of the run dir, and "
            "generation.start_timeout_s gives it more time"
        )

    def seed(self) -> int:
        """The seed of the answers of this step, so that a resumed run gets the answers of an undisturbed one."""
        return zlib.crc32(f"{self._seed} {self.step()}".encode()) & 0x7FFFFFFF

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time within as waiting for generation."""
        begun = time.monotonic()
        self._at = self._at or begun  # the shares are of the time of training
        try:
            yield
        finally:
            self.waited_s += time.monotonic() - begun

    def figures(self) -> dict[str, float]:
        """The waiting since the figures before, in seconds and as a share of the time, for a log line."""
        moment, waited = time.monotonic(), self.waited_s
        seconds, since = waited - self._logged, max(moment - self._at, 1e-9)
        self._logged, self._at = waited, moment
        return {
            "generation_wait_s": round(seconds, 4),
            "generation_wait_share": round(min(seconds / since, 1.0), 4),
        }
