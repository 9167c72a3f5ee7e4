"""Atomic writes of files."""

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing: under a temporary name, then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)
