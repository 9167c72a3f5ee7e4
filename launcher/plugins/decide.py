"""The final LaunchPlan from config and facts, and the check that it is still the same on the node."""

import dataclasses
import re
from typing import Any, cast, get_type_hints

from launcher.config import Config, read_config
from launcher.errors import NotAsPlanned, RunError
from launcher.frozen_dataclass import frozen_dataclass
from launcher.plan import Facts, LaunchPlan, make_plan, with_estimates
from launcher.plan.chat_format import format_from
from launcher.plan.combine import check_needs, check_options, check_stored, checked
from launcher.plan.fit import with_length
from launcher.plan.model import shape_from
from launcher.plan.queue import with_notice
from launcher.plugins.base import Plugin, apply, make_plugins
from launcher.run import RunDir
from launcher.run.record import is_kind
from launcher.strategies import AUTO

_OWN = re.compile(r"launcher\.plugins\.[a-z_]+\.[A-Za-z]+")
"""The `_target_` of a plugin of this project."""


def decide(config: Config, facts: Facts, plugins: list[Plugin] | None = None) -> LaunchPlan:
    """The plan after its plugins, with all automatic values chosen. `plugins`: those of the configuration, if already made."""
    plugins = make_plugins(config.plugins) if plugins is None else plugins
    declared = {name: plugin.traits for name, plugin in zip(config.plugins, plugins, strict=True)}

    def make(config: Config) -> LaunchPlan:
        plan = dataclasses.replace(make_plan(config, facts), plugins=declared)
        check_needs(plan)
        plan = apply(plugins, "on_plan", plan)
        check_stored(plan)
        return checked(config, plan)

    chosen = None
    if AUTO in (config.strategy.engine, config.batch.micro_batch_size):
        from launcher.plan.auto import settle  # imported here: most runs leave neither to the planner

        config, chosen = settle(config, facts, make)
    plan = make(config)
    check_options(config, plan)
    estimated = with_estimates(config, with_length(config, plan))
    return dataclasses.replace(with_notice(config, estimated), chosen=chosen)


@frozen_dataclass
class Decided:
    """A run as read from its files."""

    config: Config
    plan: LaunchPlan
    plugins: list[Plugin]


def read_run(run: RunDir) -> Decided:
    """The run's config, plan and plugins, decided again from config.yaml.

    NotAsPlanned if plan.json differs, because the code or a file was changed while the job was queued.
    """
    written = run.read_json(run.plan)
    facts = facts_from(written.get("facts"))
    config = read_config(str(run.config))
    plan = decide(config, facts)
    difference = _first_difference("", written, plan.to_dict())
    if difference:
        raise NotAsPlanned(
            f"{run.plan}: {difference}; the launcher or a file was changed after the run was planned: plan "
            "it again, or use the version that planned it"
        )
    return Decided(config=config, plan=plan, plugins=make_plugins(config.plugins))


def look_at_run(run: RunDir) -> Decided:
    """Like read_run, for verbs that only read a run. RunError instead of the import of a plugin from outside of this project,
    because another person can have written the run dir."""
    for key, plugin in read_config(str(run.config)).plugins.items():
        target = str(plugin.get("_target_")) if isinstance(plugin, dict) else ""  # pyright: ignore
        if not _OWN.fullmatch(target):
            raise RunError(
                f"plugins.{key}._target_={target} of {run.config} is not a plugin of this project, and a verb that only reads "
                "a run does not import it; the owner of the run can run this command"
            )
    return read_run(run)


def reread_run(run: RunDir) -> Decided:
    """The run as read from its files, for commands after training, which a newer launcher may run.

    RunError if its plan was written by a version with other facts.
    """
    written = run.read_json(run.plan)
    try:
        facts = facts_from(written.get("facts"))
    except NotAsPlanned:
        raise RunError(
            f"{run.path} was planned by another version of the launcher ({_version(written)}), which this one cannot read; "
            "use that version"
        ) from None
    config = read_config(str(run.config))
    return Decided(config=config, plan=decide(config, facts), plugins=make_plugins(config.plugins))


def _version(written: dict[str, Any]) -> str:
    facts = written.get("facts")
    return str(cast("dict[str, Any]", facts).get("version")) if isinstance(facts, dict) else "unknown"


def facts_from(written: Any) -> Facts:
    """Facts from the JSON values in plan.json; NotAsPlanned for those of another version."""
    fields = {field.name for field in dataclasses.fields(Facts)}
    if not isinstance(written, dict) or set(cast("dict[str, Any]", written)) != fields:
        raise NotAsPlanned("plan.json was written by another version of the launcher; plan the run again")
    values = dict(cast("dict[str, Any]", written))
    try:
        for name in ("architecture", "teacher"):
            values[name] = shape_from(values[name]) if values[name] else None
        values["chat"] = format_from(values["chat"])
        values["data_sources"] = tuple(values["data_sources"])
        values["data_files"] = {path: tuple(files) for path, files in values["data_files"].items()}
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise NotAsPlanned(f"plan.json: the facts are invalid ({error}); plan the run again") from None
    for name, kind in get_type_hints(Facts).items():
        if not is_kind(values[name], kind):
            raise NotAsPlanned(f"plan.json: facts.{name} is {str(values[name])[:60]!r}; plan the run again")
    return Facts(**values)


def _first_difference(key: str, written: Any, now: Any) -> str | None:
    if isinstance(written, dict) and isinstance(now, dict):
        before, after = cast("dict[str, Any]", written), cast("dict[str, Any]", now)
        for name in [*before, *(name for name in after if name not in before)]:
            found = _first_difference(f"{key}.{name}".lstrip("."), before.get(name), after.get(name))
            if found:
                return found
        return None
    return None if written == now else f"{key} was planned as {written!r} but is {now!r} now"
