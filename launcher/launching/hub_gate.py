"""Before a launch: whether a hub has the model and data for this user, so that nobody queues for a name that is none."""

import os
import sys
from dataclasses import replace
from pathlib import Path

from launcher.clusters.registry import find_cluster
from launcher.config import Config
from launcher.data.hub import parse_hub
from launcher.errors import ConfigError
from launcher.hub import (
    Wanted,
    cache_folder,
    endpoint,
    find_snapshot,
    find_wanted,
    has_model,
    offline_variable,
)
from launcher.plan import LaunchPlan

_REFUSALS = {401: "is HF_TOKEN exported?", 403: "ask for access on its page", 404: "check its spelling"}


def wanted_of(config: Config, plan: LaunchPlan) -> Wanted | None:
    """What the run reads from a hub; None where it asks none."""
    facts = plan.facts
    paths = (facts.data_path, *facts.data_sources, facts.eval_path)
    return None if config.dry_run else find_wanted(config, facts.work_dir, paths)


def check_hub(config: Config, plan: LaunchPlan) -> None:
    """ConfigError where the hub refuses a name to this user, or where it cannot be asked from the machine that trains and the
    cache lacks the model; a warning where only this login node cannot ask. What is cached is not asked about."""
    wanted = wanted_of(config, plan)
    if wanted is None:
        return
    environ = {**os.environ, **config.cluster.env}
    cache = cache_folder(environ)
    if has_model(wanted, environ):
        wanted = replace(wanted, model=None)
    way = "type the command's words behind `python -m launcher fetch` where the hub can be reached"
    if offline := offline_variable(environ):
        if wanted.model:
            raise ConfigError(
                f"model.name_or_path={wanted.model} is not in the cache {cache}, and {offline} is set; {way}"
            )
        return
    from launcher.launching.hub_ask import ask  # a run whose model is here has no time for what it imports

    silent = ""
    for key, name, url in _addresses(wanted, cache, endpoint(environ)):
        status, said = ask(url, environ)
        if status in _REFUSALS and said != "EntryNotFound":
            raise ConfigError(f"{key}={name}: the hub says {said or status}; {_REFUSALS[status]}")
        silent = silent or ("" if status else f"{key}={name} is not in the cache {cache}, and {said}")
    if silent and not find_cluster(plan.cluster).queued:
        raise ConfigError(f"{silent}; {way}")
    if silent:
        print(f"launcher: warning: {silent}; the nodes must reach it, or {way}", file=sys.stderr, flush=True)


def _addresses(wanted: Wanted, cache: Path, hub: str) -> list[tuple[str, str, str]]:
    """(key, name, an address that answers whether this user may read it)."""
    found: list[tuple[str, str, str]] = []
    if wanted.model:
        file = wanted.gguf_file or "config.json"
        found.append(
            ("model.name_or_path", wanted.model, f"{hub}/{wanted.model}/resolve/{wanted.revision}/{file}")
        )
    for data in wanted.data:
        part = parse_hub(data)
        if find_snapshot(cache, part.name, part.revision or "main", "dataset"):
            continue
        found.append(
            ("data.path", data, f"{hub}/datasets/{part.name}/resolve/{part.revision or 'main'}/README.md")
        )
    return found
