"""Before a launch: whether a hub has the model and data for this user, so that nobody queues for a name that is none."""

import os
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from launcher.config import Config
from launcher.dataset.hub import parse_hub
from launcher.errors import ConfigError
from launcher.hub import (
    Wanted,
    cache_folder,
    endpoint,
    find_snapshot,
    find_wanted,
    has_model,
    home_folder,
    is_offline,
)
from launcher.plan import LaunchPlan

_ANSWER_S = 4.0
_REFUSALS = {401: "is HF_TOKEN exported?", 403: "ask for access on its page", 404: "check its spelling"}


def check_hub(config: Config, plan: LaunchPlan) -> None:
    """ConfigError where the hub refuses a name to this user, or where it cannot be asked from the machine that trains and the
    cache lacks the model; a warning where only this login node cannot ask. What is cached is not asked about."""
    facts = plan.facts
    wanted = find_wanted(config, facts.work_dir, (facts.data_path, *facts.data_sources, facts.eval_path))
    if config.dry_run or wanted is None:
        return
    environ = {**os.environ, **config.cluster.env}
    cache = cache_folder(environ)
    if has_model(wanted, environ):
        wanted = replace(wanted, model=None)
    way = "type the command's words behind `python -m launcher fetch` where the hub can be reached"
    if is_offline(environ):
        if wanted.model:
            raise ConfigError(
                f"model.name_or_path={wanted.model} is not in the cache {cache}, and HF_HUB_OFFLINE is set; {way}"
            )
        return
    silent = ""
    for key, name, url in _addresses(wanted, cache, endpoint(environ)):
        status, said = _ask(url, environ)
        if status in _REFUSALS and said != "EntryNotFound":
            raise ConfigError(f"{key}={name}: the hub says {said or status}; {_REFUSALS[status]}")
        silent = silent or ("" if status else f"{key}={name} is not in the cache {cache}, and {said}")
    if silent and plan.cluster != "slurm":
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


def _ask(url: str, environ: Mapping[str, str]) -> tuple[int, str]:
    """The status of the answer and the hub's word for it; 0 and why where none came in time."""
    answer: list[tuple[int, str]] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD", headers=_token(environ))
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_S) as response:
                answer.append((response.status, ""))
        except urllib.error.HTTPError as error:
            answer.append((error.code, error.headers.get("X-Error-Code") or ""))
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            host = urllib.request.Request(url).host
            text = reason.strerror if isinstance(reason, OSError) else reason
            answer.append((0, f"{host} does not answer here ({text})"))

    # A thread, for nothing bounds how long a name is looked up.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_ANSWER_S)
    return answer[0] if answer else (0, f"{url} does not answer here within {_ANSWER_S:g} s")


def _token(environ: Mapping[str, str]) -> dict[str, str]:
    """The header with the user's own token, where there is one. Source: as launcher.hub.home_folder."""
    token = environ.get("HF_TOKEN", "")
    if not token:
        path = Path(environ.get("HF_TOKEN_PATH") or home_folder(environ) / "token").expanduser()
        token = path.read_text().strip() if path.is_file() else ""
    return {"Authorization": f"Bearer {token}"} if token else {}
