"""The messages of the command that starts the nodes: passed on to the job's log, and kept for the reason of a failure."""

import collections
import re
import sys
import threading
from typing import IO

_KEPT = 20
_TRANSIENT = re.compile(
    r"(?i)node failure|communication connection failure|launch for .* failed on node|nodes are busy|socket timed out|timeout|"
    r"unable to contact|job credential|i/o error|cancelled|force terminated|step killed|connection refused"
)
"""What a command says of a fault that other nodes, or another time, can be free of."""


class StepOutput:
    """Reads the standard error of a step in a thread of its own, and writes it to this process's."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._lines: collections.deque[str] = collections.deque(maxlen=_KEPT)
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def words(self) -> str:
        """The command's own message on one line, the newest words last; empty if it wrote nothing. Call it once it has
        ended."""
        self._thread.join(1.0)
        own = [
            line
            for line in self._lines
            if re.match(r"(srun|slurmstepd|launcher|bash|node\.sh|execve)\b", line)
        ]
        return "; ".join(dict.fromkeys(own or list(self._lines)[-1:]))

    def is_transient(self) -> bool:
        """Whether the command names a fault of a node or of the network."""
        return _TRANSIENT.search(" ".join(self._lines)) is not None

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()
                if text := line.decode(errors="replace").strip():
                    self._lines.append(text)
