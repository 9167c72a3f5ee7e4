"""Whether a file may be written where a command was told to."""

from pathlib import Path

from launcher.errors import DataError


def check_free(target: Path, force: bool) -> None:
    """DataError for a file that is there, without `force`, and for a folder that is not."""
    if target.exists() and not (force and target.is_file()):
        raise DataError(f"{target} exists; give --force to write it anew, or another name")
    if not target.absolute().parent.is_dir():
        raise DataError(f"{target.absolute().parent} is not a folder; make it, or choose another")
