"""Before a launch: whether a hub has the model and data for this user, so that nobody queues for a name that is none."""

import os
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
    home_folder,
    offline_variable,
)
from launcher.plan import LaunchPlan

_ANSWER_S = 4.0
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
        try:
            request = urllib.request.Request(url, method="HEAD", headers=_token(environ))
            with urllib.request.build_opener(_TokenStays).open(request, timeout=_ANSWER_S) as response:
                answer.append((response.status, ""))
        except urllib.error.HTTPError as error:
            answer.append((error.code, error.headers.get("X-Error-Code") or ""))
        except (OSError, ValueError, HTTPException) as error:
            answer.append((0, f"{urlsplit(url).netloc or url} does not answer here ({_why(error)})"))

    # A thread, for nothing bounds how long a name is looked up.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_ANSWER_S)
    return answer[0] if answer else (0, f"{url} does not answer here within {_ANSWER_S:g} s")


class _TokenStays(urllib.request.HTTPRedirectHandler):
    """The token goes to the hub alone, and not with a redirect to whoever holds its files."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The next request, without the token where it leaves the scheme, host or port."""
        found = super().redirect_request(req, fp, code, msg, headers, newurl)
        if found is not None and urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            found.remove_header("Authorization")
        return found


def _why(error: Exception) -> str:
    """Why nothing was answered. Never a ValueError's own words: http.client puts the header that it refuses into them."""
    if isinstance(error, ValueError):
        return "HF_TOKEN or the address holds a character that cannot be sent"
    reason = getattr(error, "reason", error)
    text = reason.strerror if isinstance(reason, OSError) else None
    return text or (reason if isinstance(reason, str) else type(reason).__name__)


def _token(environ: Mapping[str, str]) -> dict[str, str]:
    """The header with the user's own token, where there is one, without line ends that were copied with it.

    Source: as launcher.hub.home_folder; huggingface_hub/utils/_auth.py, _clean_token.
    """
    token = "".join(environ.get("HF_TOKEN", "").splitlines()).strip()
    if not token:
        path = Path(environ.get("HF_TOKEN_PATH") or home_folder(environ) / "token").expanduser()
        token = "".join(path.read_text().splitlines()).strip() if path.is_file() else ""
    return {"Authorization": f"Bearer {token}"} if token else {}
