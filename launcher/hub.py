"""What a run needs from a model hub, and what of it lies in the cache already: told without a request or the hub's library."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from launcher.config import Config, Init

HUB = "hub:"
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
"""The environment of ranks: nothing is asked of a hub once they start."""
_ELSEWHERE = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE")
"""Variables that take a part of what is fetched out of HF_HOME."""
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Names on a hub that a run reads."""

    model: str | None
    revision: str
    gguf_file: str | None
    code: bool
    """Whether Python files that come with the model are wanted too."""
    data: tuple[str, ...]
    """hub:NAME[/SUBSET][:SPLIT][@REVISION], each once."""

    def to_json(self, commit: str | None = None, *, again: bool = False) -> str:
        """One line, for the process that fetches: `commit` pins the model; `again`: an earlier attempt had all of it."""
        return json.dumps({**asdict(self), "commit": commit, "again": again})


def find_wanted(config: Config, work_dir: str, paths: Iterable[str | None]) -> Wanted | None:
    """What the run reads from a hub; None where all of it is here. `paths` are those of its data."""
    model = config.model
    here = (
        model.init is Init.random
        or model.name_or_path.startswith("package:")
        or Path(work_dir, model.name_or_path).is_dir()
    )
    data = tuple(dict.fromkeys(path for path in paths if path and path.startswith(HUB)))
    if here and not data:
        return None
    return Wanted(
        model=None if here else model.name_or_path,
        revision=model.revision or "main",
        gguf_file=model.gguf_file,
        code=model.trust_remote_code,
        data=data,
    )


def offline_variable(environ: Mapping[str, str]) -> str | None:
    """The variable that tells the hub's library to ask nothing; None where none does.

    Source: huggingface_hub/constants.py, where TRANSFORMERS_OFFLINE counts as far as HF_HUB_OFFLINE is empty.
    """
    name = "HF_HUB_OFFLINE" if environ.get("HF_HUB_OFFLINE") else "TRANSFORMERS_OFFLINE"
    return name if environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") else None


def is_offline(environ: Mapping[str, str]) -> bool:
    """Whether the hub's library was told to ask nothing."""
    return offline_variable(environ) is not None


def endpoint(environ: Mapping[str, str]) -> str:
    """The hub's address. Source: as offline_variable."""
    return (environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def home_folder(environ: Mapping[str, str]) -> Path:
    """Where the hub's library keeps all that is its own. Source: the manual of huggingface_hub, "Environment variables"."""
    cache = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~"), ".cache")
    return Path(environ.get("HF_HOME") or Path(cache, "huggingface")).expanduser()


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where the hub's library keeps what it fetched. Source: as home_folder."""
    own = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(own or home_folder(environ) / "hub").expanduser()


def named_folders(environ: Mapping[str, str]) -> dict[str, str]:
    """Absolute paths by the variables that name them to the hub's library: HF_HOME, and the folders that are elsewhere."""
    own = {name: environ[name] for name in _ELSEWHERE if environ.get(name)}
    named = {"HF_HOME": home_folder(environ), **own}
    return {name: str(Path(path).expanduser().absolute()) for name, path in named.items()}


def find_snapshot(cache: Path, name: str, revision: str, kind: str = "model") -> Path | None:
    """The folder of the fetched files of that branch, tag or commit; None where there is none."""
    folder = cache / f"{kind}s--{name.replace('/', '--')}"
    try:
        commit = (folder / "refs" / revision).read_text().strip()
    except OSError:
        commit = revision
    found = folder / "snapshots" / commit
    return found if commit and found.is_dir() else None


def find_missing(snapshot: Path, gguf_file: str | None = None) -> str | None:
    """The first file that a model cannot be loaded without and that is not in its folder; None for a whole model."""
    if gguf_file:
        return None if (snapshot / gguf_file).is_file() else gguf_file
    if not (snapshot / "config.json").is_file():
        return "config.json"
    if not any((snapshot / name).is_file() for name in _TOKENIZERS):
        return _TOKENIZERS[0]
    for name in ("model.safetensors", "pytorch_model.bin"):
        index = snapshot / f"{name}.index.json"
        if index.is_file():
            shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            return next((shard for shard in shards if not (snapshot / shard).is_file()), None)
        if (snapshot / name).is_file():
            return None
    return "model.safetensors"


def has_model(wanted: Wanted, environ: Mapping[str, str]) -> bool:
    """Whether the model, where one is wanted, lies whole in the cache."""
    if wanted.model is None:
        return True
    found = find_snapshot(cache_folder(environ), wanted.model, wanted.revision)
    return found is not None and find_missing(found, wanted.gguf_file) is None
