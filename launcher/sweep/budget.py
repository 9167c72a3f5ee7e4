"""Whether the budget of a sweep allows another trial. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from launcher.errors import ConfigError


def check_deadline(text: str | None) -> None:
    """ConfigError for a deadline that is not a time."""
    if text is not None:
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise ConfigError(
                f"sweep.deadline={text} is not a time; write it as 2026-11-30T08:00, with an offset such as +01:00 or without"
            ) from None


def spent(budget: Mapping[str, Any], begun: int, gpu_s: Iterable[float], moment: datetime) -> str | None:
    """The reason why no further trial may begin; None if one may.

    `begun`: number of trials so far; `gpu_s`: GPU seconds of each; `moment`: the present time, with a time zone.
    """
    trials, hours, deadline = budget["trials"], budget["gpu_hours"], budget["deadline"]
    if trials is not None and begun >= trials:
        return f"sweep.trials={trials} have begun"
    if hours is not None:
        used = sum(gpu_s) / 3600
        if used >= hours:
            return f"sweep.gpu_hours={hours:g} are used up ({used:.3g} hours)"
    if deadline is not None and moment >= datetime.fromisoformat(deadline).astimezone():
        return f"sweep.deadline={deadline} has passed"
    return None
