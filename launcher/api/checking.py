"""The data gate of a job: the launcher's data check of its files, answered as the API does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.api.calls import CallFailed, Refusal, call
from launcher.api.store import Store
from launcher.data.findings import said_line
from launcher.managed.methods import METHODS


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a file holds, and the first fault of it."""

    rows: int
    fault: str | None


def check_file(store: Store, path: Path, sha256: str, method: str, *, least: int) -> Checked:
    """The outcome for a file of that content, which is checked once for each method.

    CallFailed if the check itself has failed: nothing is then known of the file.
    """
    known = store.row("SELECT rows, fault FROM checks WHERE sha256 = ? AND method = ?", sha256, method)
    if known is None:
        rows, fault = _look(path, method)
        with store.change() as db:
            db.execute(
                "INSERT OR REPLACE INTO checks (sha256, method, rows, fault) VALUES (?, ?, ?, ?)",
                (sha256, method, rows, fault),
            )
    else:
        rows, fault = known["rows"], known["fault"]
    if fault is None and rows < least:
        fault = f"the file has {rows} rows, but must have at least {least}; add more rows"
    return Checked(rows=rows, fault=fault)


def _look(path: Path, method: str) -> tuple[int, str | None]:
    try:
        report = call(["data", "check", path.name], path.parent)
    except Refusal as error:
        if (
            error.kind != "DataError" or not path.exists()
        ):  # the folder of a cancelled job is deleted at any time
            raise CallFailed(f"the data check of {path}: {error}") from None
        return 0, str(error).replace(f"{path.name}: ", "").replace(str(path.parent), "")
    errors: list[Any] = [one for one in report["findings"] if one["level"] == "error"]
    if errors:
        first, more = errors[0], report["errors"] - 1
        where = said_line(first).removeprefix(", ")
        also = f" (and {more:,} more)" if more else ""
        return report["rows"], f"{f'{where}: ' if where else ''}{first['message']} [{first['rule']}]{also}"
    wanted = METHODS[method].rows
    other = next((kind for kind, number in report["kinds"].items() if number and kind != wanted), None)
    if other is not None:
        return report["rows"], f"method {method} needs {wanted} rows, and the file has {other} rows"
    return report["rows"], None
