"""The site's longest jobs (cluster.time_limits), compared with a run's time before anything is queued."""

from collections.abc import Mapping
from typing import Any

from launcher.config.spelling import is_limit, limit_s
from launcher.errors import PlanError

ANY = "any"
"""Stands for every partition and QoS that is not listed."""


def check_time(limits: Mapping[str, Any], options: Mapping[str, str]) -> None:
    """PlanError for a time above the site's limit, and for a limit that is not spelled as one.

    A QoS can allow more than its partition, or less: its own limit counts. Of several partitions, the job starts in any that is
    long enough.
    """
    known = {name: _seconds(name, value) for name, value in limits.items() if value is not None}
    for option in ("qos", "partition"):
        listed = [name for name in options.get(option, "").split(",") if name in known and name]
        if listed:
            _compare(limits, known, options, option, max(listed, key=lambda name: known[name]))
            return
    if ANY in known:
        _compare(limits, known, options, "", ANY)


def _compare(
    limits: Mapping[str, Any], known: Mapping[str, int], options: Mapping[str, str], option: str, name: str
) -> None:
    if limit_s(options["time"]) <= known[name]:
        return
    longer = [
        other for other in known if known[other] >= limit_s(options["time"]) and other not in (ANY, name)
    ]
    named = f"{option} {name}" if option else "this site"
    allow = "allow" if len(longer) > 1 else "allows"
    other = f", or another partition or QoS ({', '.join(longer)} {allow} it)" if longer else ""
    raise PlanError(
        f"resources.time={options['time']} is more than the longest job of {named}, {limits[name]} "
        f"(cluster.time_limits.{name}); set resources.time={limits[name]} or less{other}; `resume` continues a run"
    )


def _seconds(name: str, value: Any) -> int:
    """Seconds of a limit; PlanError for a number, into which YAML can have converted an unquoted time."""
    if not isinstance(value, str) or not is_limit(value):
        raise PlanError(
            f'cluster.time_limits.{name}={value} is not a time in Slurm format; write it in quotes, such as "24:00:00" or '
            '"2-00:00:00"'
        )
    return limit_s(value)
