"""The spelling of configuration texts that other programs read: time limits, and a line of a script.

A time limit is minutes, minutes:seconds, hours:minutes:seconds, or with days- before hours. Source: sbatch(1), --time.
"""

import re

from launcher.errors import PlanError
from launcher.units import plural

_LIMIT = re.compile(r"(\d+-)?\d+(:[0-5]?\d){0,2}")
"""A number after a colon is below 60: 1:99:00 is a typing error."""
_WITH_UNIT = re.compile(r"(\d+) ?([mhd])[a-z]*")
_MEANT = {"m": "{}:00", "h": "{}:00:00", "d": "{}-00:00:00"}
"""Unit of a time as people write it -> the same as a time limit."""
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_MOST_MINUTES = 999
"""Highest number that is read as minutes: YAML 1.1 reads 1:00:00 and more, without quotes, as 3600 and more."""


def check_time(time: str) -> str:
    """`time` itself when it is spelled as a time limit; PlanError otherwise."""
    if not _LIMIT.fullmatch(time):
        found = _WITH_UNIT.fullmatch(time.strip().lower())
        meant = f"; try resources.time={_MEANT[found[2]].format(found[1])}" if found else ""
        raise PlanError(
            f"resources.time={time!r} is not a Slurm time; use minutes, HH:MM:SS or D-HH:MM:SS{meant}"
        )
    if time.isdigit() and int(time) > _MOST_MINUTES:
        hours, rest = divmod(int(time), 3600)
        clock = f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
        raise PlanError(
            f"resources.time={time} is a bare number: Slurm reads it as minutes, and YAML turns an unquoted {clock} into it; "
            f'write "{clock}" in quotes, or "{time}:00" for {time} minutes'
        )
    if limit_s(time) == 0:
        raise PlanError(
            f"resources.time={time} is zero, which Slurm reads as no limit; give the time, as resources.time=04:00:00"
        )
    return time


def in_minutes(time: str) -> str | None:
    """A warning for a time limit that is shorter than it may look: 12 is minutes, and 12:00 is minutes and seconds."""
    if "-" in time or time.count(":") > 1:
        return None
    first, _, second = time.partition(":")
    minutes = f"{limit_s(time) / 60:g} minutes"
    longer = plural(int(first), "hour") + (
        f" and {plural(int(second), 'minute')}" if int(second or 0) else ""
    )
    verb = "is" if longer == "1 hour" else "are"
    return f"resources.time={time} is {minutes}, as Slurm reads it; {longer} {verb} resources.time={first}:{second or '00'}:00"


def is_limit(time: str) -> bool:
    """Whether `time` is spelled as a time limit with a colon. A bare number is not: YAML can have made it from 1:00:00."""
    return bool(_LIMIT.fullmatch(time)) and not time.isdigit()


def limit_s(time: str) -> int:
    """Seconds of a time limit; ValueError for a word such as UNLIMITED."""
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
        return int(days) * _DAY_S + hours * _HOUR_S + minutes * _MINUTE_S + seconds
    if len(parts) == 3:
        return parts[0] * _HOUR_S + parts[1] * _MINUTE_S + parts[2]
    return parts[0] * _MINUTE_S + (parts[1] if len(parts) == 2 else 0)


def one_line(key: str, value: str) -> str:
    """`value` itself; PlanError when it holds a newline or another control character."""
    if any(not character.isprintable() for character in value):
        raise PlanError(f"{key}={value!r} holds a newline or control character; use one line of plain text")
    return value
