"""The standard error of a process, written to an unnamed file and read while the file grows.

A pipe would break when its reader ends, and SIGPIPE would then end a process that writes to it.
"""

import io
import os
import subprocess
import tempfile
import time
from typing import IO

_LOOK_S = 0.1


class _Growing(io.RawIOBase):
    """The file to which a process writes. A reader reaches the end of the file only after the process has ended."""

    def __init__(self, file: IO[bytes], process: subprocess.Popen[bytes]) -> None:
        self._file, self._process, self._at = file, process, 0

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] io's own callers pass this
        """The number of bytes that were read; 0 at the end. Waits for the process to write more."""
        while True:
            ended = self._process.poll() is not None
            data = os.pread(self._file.fileno(), len(buffer), self._at)
            if data or ended:
                buffer[: len(data)] = data
                self._at += len(data)
                return len(data)
            time.sleep(_LOOK_S)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        super().close()


def start_with_file(
    words: list[str], cwd: str, env: dict[str, str]
) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """The started process and a reader of its standard error. The process has a session of its own and outlives this
    process."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 the reader closes it
    process = subprocess.Popen(
        words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stderr=file, start_new_session=True
    )
    return process, io.BufferedReader(_Growing(file, process))
