"""The options for the signal before a job's time limit, and for the permission to queue it again."""

import re
from collections.abc import Mapping

_MINUTE_S = 60.0
_NOTICE = re.compile(r"B:(?:SIG)?USR1(?:@(\d+))?")


def with_notice(options: Mapping[str, str], seconds: int) -> dict[str, str]:
    """The options with USR1 to the batch script `seconds` before the limit, unless the site has set a signal itself."""
    return dict(options) if "signal" in options else {**options, "signal": f"B:USR1@{seconds}"}


def notice_s(options: Mapping[str, str]) -> float | None:
    """Seconds between that signal and the limit, whoever set it; None if the batch script does not get it.

    Source: sbatch(1), --signal: one minute if no time is given.
    """
    match = _NOTICE.fullmatch(options.get("signal", ""))
    return float(match[1] or _MINUTE_S) if match else None


def with_requeue(options: Mapping[str, str], allowed: bool) -> dict[str, str]:
    """The options with the flag that allows or forbids a requeue of the job, unless the site has set it."""
    if {"requeue", "no-requeue"} & options.keys():
        return dict(options)
    return {**options, "requeue" if allowed else "no-requeue": ""}
