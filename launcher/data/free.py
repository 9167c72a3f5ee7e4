"""Whether a command may write its output file."""

from pathlib import Path

from launcher.errors import DataError


def check_free(target: Path, force: bool) -> None:
    """DataError if the file exists and `force` is not given, or if its folder does not exist."""
    if target.exists() and not (force and target.is_file()):
        raise DataError(f"{target} exists; give --force to overwrite it, or another name")
    if not target.absolute().parent.is_dir():
        raise DataError(f"{target.absolute().parent} is not a folder; create it, or choose another one")
