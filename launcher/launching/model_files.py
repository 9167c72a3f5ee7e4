"""Whether the folder of a model is complete: its weights, all their parts, and its tokenizer.

A copy that was interrupted, or a clone without Git LFS, has a config.json, with which a plan can be made; the ranks would be
the first to find what is missing. Names and sizes are looked at, and the headers of weights, but no weights are read.
"""

import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from launcher.config import Config, Init
from launcher.errors import ConfigError
from launcher.reading import object_in

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tekken.json",
    "*.tiktoken",
)
"""Files of which a tokenizer has at least one. Source: transformers, vocab_files_names of its tokenizers."""
_POINTER = b"version https://git-lfs"
_LARGEST_POINTER = 1024
"""Bytes. Source: the specification of Git LFS: a pointer file is shorter."""
_GGUF = b"GGUF"
_LONGEST_HEADER = 100_000_000
"""Bytes. Source: safetensors 0.8, MAX_HEADER_SIZE."""
_AGAIN = "copy the folder again"


def check_model_files(config: Config) -> None:
    """ConfigError for a local folder whose weights or tokenizer are missing, incomplete, or Git LFS pointers; the same for an
    adapter that the training starts from, and for a GGUF file."""
    model = config.model
    folder = Path(model.name_or_path)
    if model.adapter is not None:
        check_contents(f"model.adapter={model.adapter}", Path(model.adapter), _ADAPTERS)
    if model.init is Init.random or not folder.is_dir():
        return
    told = f"model.name_or_path={model.name_or_path}"
    if model.gguf_file:
        check_contents(told, folder, (model.gguf_file,))
        return
    for name in _INDEXES:
        if missing := _missing(folder, name):
            raise ConfigError(
                f"{told}: {len(missing):,} of the files that {name} lists are missing, such as {missing[0]}; {_AGAIN}"
            )
    weights, tokenizer = list(_found(folder, _WEIGHTS)), list(_found(folder, _TOKENIZERS))
    check_contents(told, folder, (*_WEIGHTS, *_TOKENIZERS))
    if not weights:
        raise ConfigError(
            f"{told} has no weights ({', '.join(_WEIGHTS)}); {_AGAIN}, with `hf download` or save_pretrained"
        )
    if not tokenizer:
        raise ConfigError(
            f"{told} has no tokenizer ({', '.join(_TOKENIZERS[:3])}, ...); copy that of the model into it, or save it with "
            "save_pretrained"
        )


def incomplete_note(config: Config) -> list[str]:
    """What a plan notes of a folder for which a launch is refused."""
    try:
        check_model_files(config)
    except ConfigError as error:
        return [f"a launch is refused: {error}"]
    return []


def check_contents(
    told: str, folder: Path, patterns: tuple[str, ...] = (*_ADAPTERS, "*.gguf"), way: str = _AGAIN
) -> None:
    """ConfigError for a file of these in the folder that is empty, incomplete, or a Git LFS pointer; `told` begins the
    sentence, and `way` ends it."""
    for file in _found(folder, patterns):
        if _is_pointer(file):
            raise ConfigError(
                f"{told}: {file.name} is a Git LFS pointer, not the file itself; `git lfs pull` in the folder fetches it"
            )
        if not file.stat().st_size:
            raise ConfigError(f"{told}: {file.name} is empty; {way}")
        if why := _damage(file):
            raise ConfigError(f"{told}: {file.name} {why}; {way}")


def check_cached(told: str, snapshot: Path, gguf_file: str | None = None) -> None:
    """As check_contents, for a model in the hub's cache."""
    patterns = (gguf_file,) if gguf_file else (*_WEIGHTS, *_TOKENIZERS)
    way = f"remove {snapshot.parent.parent}, and `python -m launcher fetch` downloads it again"
    check_contents(f"{told} in the hub's cache", snapshot, patterns, way)


def check_weights(folder: Path) -> None:
    """As check_contents, for every file of weights in the folder of a model, an adapter or an export."""
    check_contents(str(folder), folder, (*_WEIGHTS, *_ADAPTERS, "tokenizer.json"))


def _missing(folder: Path, index: str) -> list[str]:
    """Files that an index of weights names and that are not there."""
    found: Any = (object_in(folder / index) or {}).get("weight_map")
    names = cast("dict[str, Any]", found).values() if isinstance(found, dict) else ()
    return sorted({str(name) for name in names if not (folder / str(name)).is_file()})


def _found(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        yield from sorted(folder.glob(pattern))


def _is_pointer(file: Path) -> bool:
    try:
        if file.stat().st_size > _LARGEST_POINTER:
            return False
        with file.open("rb") as content:
            return content.read(len(_POINTER)) == _POINTER
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror}); {_AGAIN}") from None


def _damage(file: Path) -> str:
    """What is wrong with a file of weights or a tokenizer, by its header and size; empty if nothing is."""
    try:
        if file.suffix == ".safetensors":
            return _damage_of_safetensors(file)
        if file.suffix == ".bin":
            with file.open("rb") as content:
                packed = (
                    content.read(2) == b"PK"
                )  # what torch.save writes; its older format has no end to look for
            return (
                "is incomplete: the end of its archive is missing"
                if packed and not zipfile.is_zipfile(file)
                else ""
            )
        if file.suffix == ".gguf":
            with file.open("rb") as content:
                return "" if content.read(len(_GGUF)) == _GGUF else "is not a file of the GGUF format"
        if file.name == "tokenizer.json" and object_in(file) is None:
            return "is not a JSON object"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return ""


def _damage_of_safetensors(file: Path) -> str:
    """As _damage. Source of the format: the safetensors README, "Format"."""
    size = file.stat().st_size
    with file.open("rb") as content:
        start = content.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else _LONGEST_HEADER + 1
        if length > _LONGEST_HEADER:
            return "is not a file of the safetensors format"
        text = content.read(length)
    try:
        header = json.loads(text)
        whole = max(
            (entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"), default=0
        )
        needed = 8 + length + whole
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        if len(text) < length:
            return f"is incomplete: it has {size:,} bytes, and its header alone has {length:,}"
        return "has a header that is not of the safetensors format"
    return "" if size == needed else f"has {size:,} bytes, and its header says {needed:,}"
