"""Checks before a launch that its result can be pushed to a hub, as far as this machine can tell."""

import os

from launcher.config import Config
from launcher.errors import ConfigError
from launcher.hub import offline_variable
from launcher.output import warn
from launcher.plan import LaunchPlan


def check_push(config: Config, *, trial: bool) -> None:
    """ConfigError for a hub.push that no run can fulfil."""
    name = config.hub.push
    if name is None:
        return
    from launcher.launching.push_target import check_name  # most runs push nothing

    check_name("hub.push", name)
    if trial:
        raise ConfigError(
            f"hub.push={name} would be the repository of every trial; leave it out, and push the best one: python -m "
            f"launcher push RUN --to {name}"
        )


def check_repository(config: Config) -> None:
    """ConfigError if the hub would refuse the push of this user today; a warning if this machine cannot ask it."""
    name = config.hub.push
    if name is None or config.dry_run:
        return
    from launcher.launching.push_target import PushFailed, api, look

    environ = {**os.environ, **config.cluster.env}
    if offline := offline_variable(environ):
        warn(
            f"hub.push={name}: {offline} is set, so the run pushes nothing; push it later without {offline}: python -m "
            "launcher push RUN"
        )
        return
    try:
        held = look(api(environ), name).files
    except PushFailed as error:
        warn(f"hub.push={name} could not be checked: {error}")
        return
    if held:
        more = f" and {len(held) - 1} more" if len(held) > 1 else ""
        raise ConfigError(
            f"hub.push={name} exists and holds {next(iter(held))}{more}; a run overwrites nothing: name another repository, or "
            "leave hub.push out and push later with python -m launcher push RUN --to NAME --force"
        )


def push_note(config: Config, plan: LaunchPlan) -> list[str]:
    """A sentence about where and when the result is pushed."""
    name = config.hub.push
    if name is None:
        return []
    what = "merged model" if config.hub.merged else "adapter" if plan.adapter else "model"
    how = "private if it is new" if config.hub.private else "public if it is new"
    return [
        f"the {what} is pushed to {name} ({how}) when the run has finished, if the machine of its job script reaches the hub; "
        "else with python -m launcher push RUN"
    ]
