"""Downloads a run's model and data into the hub's cache, in a process that has the hub's library."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypedDict

from launcher.errors import FetchFailed
from launcher.hub import HubInputs, cache_folder, find_wanted
from launcher.launching.composed import Composed
from launcher.launching.data_gate import data_paths


class _Names(TypedDict):
    names: list[str]
    """The model, its teacher and the datasets, as the configuration names them; empty if the run reads nothing from a hub."""


class FetchedInputs(_Names, total=False):
    """What a run reads from a hub and is in the cache now. Without names it has no other field."""

    cache: str
    """Absolute path of the cache."""
    commit: str | None
    """The commit of the model on the hub; null if no model was fetched."""
    bytes: int
    """Bytes that were downloaded now; what the cache had before does not count."""


def fetch_all(composed: Iterable[Composed], *, quiet: bool) -> Iterator[FetchedInputs]:
    """Each download, for each run that reads from a hub; duplicates are skipped."""
    seen: list[str] = []
    for one in composed:
        config = one.config
        paths = data_paths(config)
        wanted = find_wanted(config, str(Path.cwd()), (*paths.training, *filter(None, [paths.evaluation])))
        if wanted is None or wanted.to_json() in seen:
            continue
        seen.append(wanted.to_json())
        environ = {**os.environ, **config.cluster.env}
        found = _fetch(wanted, environ, quiet=quiet)
        names = [*filter(None, [wanted.model, wanted.teacher]), *wanted.data]
        yield {
            "names": names,
            "cache": str(cache_folder(environ)),
            "commit": found.get("commit"),
            "bytes": found.get("bytes", 0),
        }


def _fetch(wanted: HubInputs, environ: dict[str, str], *, quiet: bool) -> dict[str, Any]:
    """`commit` and `bytes` of the download; FetchFailed if it fails."""
    words = [sys.executable, "-m", "launcher.train.fetch", wanted.to_json()]
    answer: dict[str, Any] = {}
    with subprocess.Popen(
        words, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        for line in process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
        code = process.wait()
    if code:
        raise FetchFailed(answer.get("error") or f"fetching ended with exit code {code}")
    return answer
