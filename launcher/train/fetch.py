"""python -m launcher.train.fetch WANTED: download a run's model and data from the hub into the cache, in one process.

It runs before the ranks start, outside of any collective, so a slow hub delays a run but cannot hang it. It reports JSON lines
on stdout: {"bytes": N} during the download, and at the end {"commit": C, "bytes": N} or {"error": TEXT}. WANTED is
launcher.hub.HubInputs as JSON, with `commit`, to which an earlier attempt of the run has pinned the model, and `again`, which
is true if an earlier attempt has fetched everything; the hub is then queried only for files that are missing from the cache.
"""

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from launcher.data.hub import parse_hub
from launcher.errors import Exit
from launcher.hub import OFFLINE, cache_folder, endpoint, find_missing, hides_token, is_offline

_TRIES_S = (0.0, 1.0, 4.0)
"""Seconds before each try to reach the hub."""
_ANSWER_S = 10.0
_TELL_S = 5.0
_SKIPPED = ["original/*", "onnx/*", "openvino/*", "coreml/*", "runs/*"]
"""Copies of the weights for other programs."""
_KEPT = ["*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken"]


class Unreachable(Exception):
    """Something is not in the cache and cannot be fetched from the hub."""


def main(argv: list[str]) -> int:
    """The exit code: FETCH_FAILED if something cannot be fetched."""
    wanted: dict[str, Any] = json.loads(argv[0])
    os.environ.update(hides_token(os.environ))  # before the libraries are imported
    again, before, why = bool(wanted.get("again")), held_bytes(), "HF_HUB_OFFLINE is set"
    if again or not is_offline(os.environ):
        why = "" if again else silence(endpoint(os.environ))
        if again or why:
            os.environ.update(
                OFFLINE
            )  # set before the libraries are imported, because they would retry for a long time
    threading.Thread(target=_tell, args=(before,), daemon=True).start()
    commit: str | None = None
    try:
        if wanted["model"]:
            commit = fetch_model(wanted, why)
        if wanted.get("teacher"):
            fetch_model(teacher_of(wanted), why, "trainer.teacher")
        for name in wanted["data"]:
            fetch_data(name, why)
    except Unreachable as error:
        if again:
            _once_more(wanted)
        print(json.dumps({"error": str(error)}), flush=True)
        return Exit.FETCH_FAILED
    print(json.dumps({"commit": commit, "bytes": held_bytes() - before}), flush=True)
    return Exit.OK


def teacher_of(wanted: dict[str, Any]) -> dict[str, Any]:
    """What `fetch_model` needs to fetch the teacher."""
    own = {"model": wanted["teacher"], "revision": wanted["teacher_revision"]}
    return {**wanted, **own, "commit": None, "gguf_file": None}


def fetch_model(wanted: dict[str, Any], why: str, key: str = "model.name_or_path") -> str:
    """The commit of the model, once the cache holds all of it; Unreachable otherwise. `why`: the reason why the hub cannot be
    reached, or empty. `key`: that of the model's name, for errors."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name, revision = wanted["model"], wanted.get("commit") or wanted["revision"]
    lacking: str | None = None
    try:
        for kinds in kept(wanted):
            folder = Path(
                snapshot_download(name, revision=revision, allow_patterns=kinds, ignore_patterns=_SKIPPED)
            )
            lacking = find_missing(folder, wanted["gguf_file"])
            if lacking is None:
                return folder.name
    except LocalEntryNotFoundError as error:
        raise Unreachable(
            f"{key}={name} is not in the cache {cache_folder(os.environ)}, and the hub cannot be reached: "
            f"{why or _first_line(error)}"
        ) from None
    except HfHubHTTPError as error:
        raise Unreachable(f"{key}={name}: the hub says {_refusal(error.response)}") from None
    raise Unreachable(f"{key}={name} has no {lacking}")


def kept(wanted: dict[str, Any]) -> list[list[str]]:
    """Patterns of the files needed to load a model, for each try; the older weight format is tried last."""
    if wanted["gguf_file"]:
        return [[wanted["gguf_file"]]]
    around = [*_KEPT, *(["*.py"] if wanted["code"] else [])]
    return [[*around, "*.safetensors"], [*around, "*.bin"]]


def fetch_data(name: str, why: str) -> None:
    """Loads a data set once, so that the ranks find it prepared in the cache; Unreachable if it cannot be fetched."""
    import datasets

    part = parse_hub(name)
    try:
        datasets.load_dataset(part.name, part.subset, split=part.split, revision=part.revision)
    except (OSError, ValueError) as error:  # no such name, split or file; no connection
        problem = f"is not in the cache, and the hub cannot be reached: {why}" if why else _first_line(error)
        raise Unreachable(f"data.path={name}: {problem}") from None


def silence(url: str) -> str:
    """The reason why no server answers at this address after all tries; empty for any answer, even an error."""
    why = ""
    for wait in _TRIES_S:
        time.sleep(wait)
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_ANSWER_S):
                return ""
        except urllib.error.HTTPError:
            return ""
        except (OSError, ValueError) as error:
            why = f"{url} does not answer ({getattr(error, 'reason', error)})"
    return why


def held_bytes() -> int:
    """Bytes in the caches of hub files and of prepared data sets, including incomplete downloads."""
    cache = cache_folder(os.environ)
    prepared = Path(os.environ.get("HF_DATASETS_CACHE") or cache.parent / "datasets")
    total = 0
    for file in (*cache.glob("*--*/blobs/*"), *prepared.rglob("*.arrow")):
        try:
            total += file.stat().st_size
        except OSError:
            continue  # it was complete and has just been renamed
    return total


def _once_more(wanted: dict[str, Any]) -> None:
    """Restarts as a process that asks the hub."""
    environ = {name: value for name, value in os.environ.items() if name not in OFFLINE}
    words = [sys.executable, "-m", "launcher.train.fetch", json.dumps({**wanted, "again": False})]
    sys.stdout.flush()
    os.execve(sys.executable, words, environ)


def _tell(before: int) -> None:
    while True:
        time.sleep(_TELL_S)
        print(json.dumps({"bytes": held_bytes() - before}), flush=True)


def _refusal(response: Any) -> str:
    message = response.headers.get("X-Error-Message") or f"HTTP {response.status_code}"
    way = {401: "; is HF_TOKEN exported?", 403: "; request access on its page, with the account of HF_TOKEN"}
    return f"'{message}'{way.get(response.status_code, '')}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # threads of a download that failed may still wait for the hub
