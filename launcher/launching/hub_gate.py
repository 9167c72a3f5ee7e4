"""A check before a launch that this user can read the model and data on the hub, so that no job waits for an unknown name."""

import os
from dataclasses import replace
from pathlib import Path

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.errors import ConfigError
from launcher.frozen_dataclass import frozen_dataclass
from launcher.hub import (
    HubInputs,
    cache_folder,
    endpoint,
    find_snapshot,
    find_wanted,
    has_model,
    has_teacher,
    offline_variable,
    why_unknown,
)
from launcher.launching.model_name import PLAIN
from launcher.output import warn
from launcher.plan import LaunchPlan

_REFUSALS = {401: "is HF_TOKEN exported?", 403: "request access on its page", 404: "check its spelling"}


def wanted_of(config: Config, plan: LaunchPlan) -> HubInputs | None:
    """What the run reads from a hub; None if nothing."""
    return None if config.dry_run else find_wanted(config, plan.facts.work_dir, plan.facts.all_data)


def check_hub(config: Config, plan: LaunchPlan) -> None:
    """Raises ConfigError if the hub refuses a name to this user, if the machine that trains cannot reach the hub and the cache
    lacks the model, or if the cache holds damaged files of it; warns if only this login node cannot reach the hub. The hub is
    not asked for what the cache has."""
    wanted = wanted_of(config, plan)
    if wanted is None:
        return
    environ = {**os.environ, **config.cluster.env}
    cache = cache_folder(environ)
    if has_model(wanted, environ):
        _check_cached("model.name_or_path", cache, wanted.model, wanted.revision, wanted.gguf_file)
        wanted = replace(wanted, model=None)
    if has_teacher(wanted, environ):
        _check_cached("trainer.teacher", cache, wanted.teacher, wanted.teacher_revision)
        wanted = replace(wanted, teacher=None)
    way = "run `python -m launcher fetch` with the arguments of this command where the hub can be reached"
    if offline := offline_variable(environ):
        for key, name in (("model.name_or_path", wanted.model), ("trainer.teacher", wanted.teacher)):
            if name:
                raise ConfigError(f"{key}={name} is not in the cache {cache}, and {offline} is set; {way}")
        return
    files = _files(wanted, cache)
    # the library refuses a name that no repository can have, with or without a network
    plain = bool(files) and all(PLAIN.fullmatch(one.name) for one in files)
    unknown = why_unknown(endpoint(environ), environ) if plain else ""
    silent = f"{files[0].key}={files[0].value} is not in the cache {cache}, and {unknown}" if unknown else ""
    for one in [] if unknown else files:
        from launcher.launching.hub_ask import ask  # imported here: it imports the hub's library

        answer = ask(one.kind, one.name, one.revision, one.file, environ)
        if answer.status in _REFUSALS and answer.said != "EntryNotFound":
            raise ConfigError(
                f"{one.key}={one.value}: the hub says {answer.said or answer.status}; {_REFUSALS[answer.status]}"
            )
        if not answer.status and not silent:
            silent = f"{one.key}={one.value} is not in the cache {cache}, and {answer.said}"
    if silent and not find_cluster(plan.cluster).queued:
        raise ConfigError(f"{silent}; {way}")
    if silent:
        warn(f"{silent}; the nodes must reach it, or {way}")
    elif wanted.data:
        from launcher.launching.hub_data import look_at_data  # imported here, as below: most data are files

        look_at_data(config, environ)


def _check_cached(
    key: str, cache: Path, name: str | None, revision: str, gguf_file: str | None = None
) -> None:
    """ConfigError for a damaged file of the model in the cache."""
    if name and (snapshot := find_snapshot(cache, name, revision)):
        from launcher.launching.model_files import (
            check_cached,
        )  # imported here: few models are in a hub's cache

        check_cached(f"{key}={name}", snapshot, gguf_file)


@frozen_dataclass
class _File:
    """A file on the hub; the hub's answer for it shows whether this user can read the repository."""

    key: str
    value: str
    """The key's value, as errors show it."""
    kind: str
    """model or dataset."""
    name: str
    revision: str
    file: str


def _files(wanted: HubInputs, cache: Path) -> list[_File]:
    """One file for each repository that is not in the cache."""
    found: list[_File] = []
    if wanted.model:
        found.append(
            _File(
                key="model.name_or_path", value=wanted.model, kind="model", name=wanted.model, revision=wanted.revision,
                file=wanted.gguf_file or "config.json",
            )
        )  # fmt: skip
    if wanted.teacher:
        found.append(
            _File(
                key="trainer.teacher", value=wanted.teacher, kind="model", name=wanted.teacher,
                revision=wanted.teacher_revision, file="config.json",
            )
        )  # fmt: skip
    for data in wanted.data:
        from launcher.data.hub import parse_hub

        part = parse_hub(data)
        revision = part.revision or "main"
        if not find_snapshot(cache, part.name, revision, "dataset"):
            found.append(
                _File(
                    key="data.path",
                    value=data,
                    kind="dataset",
                    name=part.name,
                    revision=revision,
                    file="README.md",
                )
            )
    return found
