"""Atomic writes of files."""

import contextlib
import os
from pathlib import Path


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a whole file or nothing: under a temporary name, then renamed.

    `durable`: after a loss of power the file is the old one or the new one, and not an empty one. It costs an fsync.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(2).hex()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = error.filename or str(path)  # write(2) does not say it
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
