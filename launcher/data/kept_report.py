"""A run's data_check.json, which anybody may have edited, read back."""

from pathlib import Path
from typing import Any

from launcher.data.printed import DataReport
from launcher.errors import RunError
from launcher.reading import read_json
from launcher.run.record import is_kind


def read_reports(path: Path) -> list[dict[str, Any]]:
    """What was found in each data file before the launch; another version may have written fewer keys. FileNotFoundError
    without the file; RunError if it is not a list of such reports."""
    found: Any = read_json(path)
    if not is_kind(found, list[DataReport]):
        raise RunError(f"{path} is not a list of reports on data files; was it edited?")
    return found
