"""What a run needs from a model hub, and which of it is in the cache already, without a request or the hub's library.

The library's import takes longer than a plan; the only thing asked here is a name server, for the hub's host.
"""

import json
import os
import socket
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from launcher.config import Config, Init
from launcher.environment import HF_HUB_DISABLE_IMPLICIT_TOKEN
from launcher.frozen_dataclass import frozen_dataclass
from launcher.reading import object_in

HUB = "hub:"
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
"""Environment of the ranks: they send no request to a hub."""
_ELSEWHERE = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE")
"""Variables that move a part of the fetched files out of HF_HOME."""
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")

_ANSWER_S = 4.0


@frozen_dataclass
class HubInputs:
    """The model and data sets that a run reads from a hub."""

    model: str | None
    revision: str
    gguf_file: str | None
    code: bool
    """Whether the model's Python files are needed too."""
    data: tuple[str, ...]
    """hub:NAME[/SUBSET][:SPLIT][@REVISION] of each data set."""
    teacher: str | None = None
    """The teacher of a distillation."""
    teacher_revision: str = "main"

    def to_json(self, commit: str | None = None, *, again: bool = False) -> str:
        """One line of JSON for the process that fetches. `commit` pins the model; `again`: all was fetched before."""
        return json.dumps({**asdict(self), "commit": commit, "again": again})


def is_path(name: str) -> bool:
    """Whether the name of a model can only be a path: no hub has such a name."""
    return name.startswith(("/", "./", "../", "~")) or name in (".", "..")


def find_wanted(config: Config, work_dir: str, paths: Iterable[str]) -> HubInputs | None:
    """What the run reads from a hub; None if it reads nothing from it. `paths` are those of its data."""
    model = config.model
    here = (
        model.init is Init.random
        or model.name_or_path.startswith("package:")
        or is_path(model.name_or_path)
        or Path(work_dir, model.name_or_path).is_dir()
    )
    data = tuple(dict.fromkeys(path for path in paths if path.startswith(HUB)))
    teacher = config.trainer.teacher
    if teacher and (is_path(teacher) or Path(work_dir, teacher).is_dir()):
        teacher = None
    if here and not data and not teacher:
        return None
    return HubInputs(
        model=None if here else model.name_or_path,
        revision=model.revision or "main",
        gguf_file=model.gguf_file,
        code=model.trust_remote_code,
        data=data,
        teacher=teacher,
        teacher_revision=config.trainer.teacher_revision or "main",
    )


def offline_variable(environ: Mapping[str, str]) -> str | None:
    """The variable that sets the hub's library offline; None if it is online.

    Source: huggingface_hub/constants.py; TRANSFORMERS_OFFLINE counts only if HF_HUB_OFFLINE is empty.
    """
    name = "HF_HUB_OFFLINE" if environ.get("HF_HUB_OFFLINE") else "TRANSFORMERS_OFFLINE"
    return name if environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") else None


def is_offline(environ: Mapping[str, str]) -> bool:
    """Whether the hub's library is set offline."""
    return offline_variable(environ) is not None


def endpoint(environ: Mapping[str, str]) -> str:
    """The hub's address. Source: huggingface_hub/constants.py."""
    return (environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def is_open(hub: str) -> bool:
    """Whether everybody on the way to the hub could read what is sent: plain http to another host."""
    try:
        parts = urlsplit(hub)
        host = parts.hostname
    except ValueError:
        return True
    return parts.scheme.lower() == "http" and host not in ("localhost", "127.0.0.1", "::1")


def hides_token(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that keep the hub's library from sending a token unencrypted, which it would do by default; else none.

    Source: huggingface_hub 1.x, utils/_headers.py, get_token_to_send.
    """
    return {HF_HUB_DISABLE_IMPLICIT_TOKEN: "1"} if is_open(endpoint(environ)) else {}


def home_folder(environ: Mapping[str, str]) -> Path:
    """The home folder of the hub's library. Source: the manual of huggingface_hub, "Environment variables"."""
    cache = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~"), ".cache")
    return Path(environ.get("HF_HOME") or Path(cache, "huggingface")).expanduser()


def cache_folder(environ: Mapping[str, str]) -> Path:
    """The folder of the files that the hub's library has fetched. Source: as for home_folder."""
    own = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(own or home_folder(environ) / "hub").expanduser()


def named_folders(environ: Mapping[str, str]) -> dict[str, str]:
    """Variable -> absolute path of the hub library's folders: HF_HOME, and the folders that are set separately."""
    own = {name: environ[name] for name in _ELSEWHERE if environ.get(name)}
    named = {"HF_HOME": home_folder(environ), **own}
    return {name: str(Path(path).expanduser().absolute()) for name, path in named.items()}


def find_snapshot(cache: Path, name: str, revision: str, kind: str = "model") -> Path | None:
    """The folder with the fetched files of that branch, tag or commit; None if it was not fetched."""
    folder = cache / f"{kind}s--{name.replace('/', '--')}"
    try:
        commit = (folder / "refs" / revision).read_text().strip()
    except OSError:
        commit = revision
    found = folder / "snapshots" / commit
    return found if commit and found.is_dir() else None


def find_missing(snapshot: Path, gguf_file: str | None = None) -> str | None:
    """The first missing file that is needed to load a model; None for a complete model."""
    if gguf_file:
        return None if (snapshot / gguf_file).is_file() else gguf_file
    if not (snapshot / "config.json").is_file():
        return "config.json"
    if not any((snapshot / name).is_file() for name in _TOKENIZERS):
        return _TOKENIZERS[0]
    for name in ("model.safetensors", "pytorch_model.bin"):
        index = snapshot / f"{name}.index.json"
        if index.is_file():
            placed: Any = (object_in(index) or {}).get("weight_map")
            if not isinstance(placed, dict):
                return index.name
            shards = sorted(set(map(str, cast("dict[str, Any]", placed).values())))
            return next((shard for shard in shards if not (snapshot / shard).is_file()), None)
        if (snapshot / name).is_file():
            return None
    return "model.safetensors"


def has_model(wanted: HubInputs, environ: Mapping[str, str]) -> bool:
    """Whether the model is complete in the cache, or none is needed."""
    if wanted.model is None:
        return True
    found = find_snapshot(cache_folder(environ), wanted.model, wanted.revision)
    return found is not None and find_missing(found, wanted.gguf_file) is None


def has_teacher(wanted: HubInputs, environ: Mapping[str, str]) -> bool:
    """Whether the teacher is complete in the cache, or none is needed."""
    if wanted.teacher is None:
        return True
    found = find_snapshot(cache_folder(environ), wanted.teacher, wanted.teacher_revision)
    return found is not None and find_missing(found) is None


def why_unknown(hub: str, environ: Mapping[str, str]) -> str:
    """Why the host of this address cannot be found; empty if it is found, and if a proxy looks names up instead."""
    host = urlsplit(hub).hostname
    if not host or any(name.lower().endswith("_proxy") for name in (*os.environ, *environ)):
        return ""
    where = (hub.partition("://")[2] or hub).rpartition("@")[2]
    found: list[str] = []

    def look_up() -> None:
        try:
            # as bytes, since a text makes Python import its tables of international names
            socket.getaddrinfo(host.encode() if _is_plain(host) else host, None, type=socket.SOCK_STREAM)
            found.append("")
        except UnicodeError:
            found.append("")  # the library names what is wrong with the address
        except OSError as error:
            found.append(f"{where} does not answer here ({error.strerror})")

    # A thread, because nothing bounds how long a name server is waited for.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(_ANSWER_S)
    return found[0] if found else f"{where} does not answer here within {_ANSWER_S:g} s"


def _is_plain(host: str) -> bool:
    """Whether the name is ASCII with labels of 1 to 63 characters, so that a name server can be asked for it as it is.

    Source: RFC 1035, section 2.3.4.
    """
    return host.isascii() and all(0 < len(label) < 64 for label in host.split("."))
