"""Where data files are: one file, a folder, a glob, or the same at an address that fsspec reads (s3://, gs://, hf://, ...).

Compressed files (gzip, bzip2, xz, Zstandard) are recognised by their first bytes, and read as what is in them.
"""

import hashlib
import importlib
import os
import re
from collections.abc import Mapping, Sequence
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

from launcher.errors import DataError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow")
_PACKED = (".gz", ".bz2", ".xz", ".zst")
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_NOT_DATA = ("dataset_info.json", "dataset_dict.json", "state.json", "config.json", "metadata.json")
_TRAINING = re.compile(r"train", re.IGNORECASE)
_HELD_OUT = re.compile(r"(test|eval|valid|val|dev)(uation|idation)?[^a-z]", re.IGNORECASE)
"""Beginnings of the names of files that are not trained on."""
_PART = re.compile(r"part-\d+")
"""Files without a suffix, as Spark writes a folder of texts."""
_OF_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w-]*")
"""A path that can also be the name of a data set: OWNER/NAME."""
_PAGE = re.compile(
    r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/datasets/([\w.-]+/[\w.-]+)(?:/(?:tree|viewer)/.*)?/?"
)
_WILD = frozenset("*?[")
_EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "abfs": "abfs",
    "az": "abfs",
    "http": "http",
    "https": "http",
}
"""fsspec's own extras, by scheme. Source: fsspec's pyproject.toml, optional-dependencies."""
_PACKAGES = {"hf": "huggingface_hub"}


def is_address(place: str | Path) -> bool:
    """Whether fsspec reads it, and not the file system of this machine."""
    return "://" in str(place)


_fixed: dict[str, tuple[str, ...]] = {}
"""Files that stand for a folder or a glob in this process; see fix_files."""


def fix_files(files: Mapping[str, Sequence[str]]) -> None:
    """From now on these files stand for these places in this process: a rank reads what its run was planned with."""
    _fixed.clear()
    _fixed.update({place: tuple(found) for place, found in files.items()})


def find_files(place: str | Path) -> tuple[str, ...]:
    """The data files of a file, a folder or a glob, in the order of their names; DataError if there are none."""
    text = str(place)
    if text in _fixed:
        return _fixed[text]
    if not text:
        raise DataError("the path of the data is empty; name a file, a folder or a glob")
    if page := _PAGE.fullmatch(text):
        raise DataError(f"{text} is the page of a data set, not its data; write hub:{page[1]}")
    if is_address(text):
        return _find_at(text)
    path = Path(text)
    if path.is_file():
        return (text,)
    if path.is_dir():
        return _of_folder(text, sorted(str(one) for one in path.iterdir() if one.is_file()))
    if _WILD & set(text):
        import glob  # imported here: most data are one file

        found = sorted(one for one in glob.glob(text, recursive=True) if Path(one).is_file())  # noqa: PTH207
        if found:
            return tuple(found)
        raise DataError(f"{text} matches no file; look at the folder and the pattern")
    hub = f", or hub:{text} for a data set of the hub" if _OF_HUB.fullmatch(text) else ""
    raise DataError(
        f"{text} is not a file; give the path of a JSONL, JSON, CSV or Parquet file, a folder or a glob{hub}"
    )


def exists(place: str | Path) -> bool:
    """Whether files are found there."""
    try:
        return bool(find_files(place))
    except DataError:
        return False


def _of_folder(folder: str, files: list[str]) -> tuple[str, ...]:
    """The data files of a folder, which must be of one kind: a readme.txt beside Parquet files is not data."""
    kept = [file for file in files if suffix_of(file) in SUFFIXES and not _name(file).startswith((".", "_"))]
    kept = [file for file in kept if _name(file) not in _NOT_DATA] or [
        file for file in files if _PART.fullmatch(_name(file))
    ]
    kinds = sorted({suffix_of(file) for file in kept})
    if not kept:
        raise DataError(
            f"{folder} is a folder without a data file ({', '.join(SUFFIXES)}); name the files, or another folder"
            f"{_inside(folder)}"
        )
    _check_splits(folder, kept)
    if len(kinds) > 1:
        raise DataError(
            f"{folder} holds files of several kinds ({', '.join(kinds)}); say which by a glob, such as "
            f"{folder.rstrip('/')}/*{kinds[0]}"
        )
    return tuple(kept)


def _check_splits(folder: str, files: list[str]) -> None:
    """DataError for a folder with training data and data to evaluate: both would be trained on."""
    held = [file for file in files if _HELD_OUT.match(_name(file))]
    training = [file for file in files if _TRAINING.match(_name(file))]
    if held and training:
        raise DataError(
            f"{folder} holds files to train on and files to evaluate ({_name(training[0])}, {_name(held[0])}); name both: "
            f"data.path={training[0]} data.eval_path={held[0]} (several files of a kind by a glob)"
        )


def _inside(folder: str) -> str:
    """The first folder within it that holds data files, as a way out; empty if there is none."""
    if is_address(folder):
        return ""
    inside = sorted(Path(folder).iterdir(), key=lambda one: (not _TRAINING.match(one.name), one.name))
    below = (one for one in inside if one.is_dir() and not one.name.startswith("."))
    found = next((one for one in below if _holds_data(one)), None)
    return f", such as {found}" if found else ""


def _holds_data(folder: Path) -> bool:
    """Whether a data file is in it; False if it cannot be read."""
    try:
        return any(suffix_of(str(file)) in SUFFIXES for file in folder.iterdir())
    except OSError:
        return False


def _name(file: str) -> str:
    return file.rstrip("/").rpartition("/")[2]


def suffix_of(file: str) -> str:
    """The suffix that says how rows are stored, in lower case, without that of a compression."""
    name = _name(file).lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return os.path.splitext(name)[1]  # noqa: PTH122 (an address is not a path)


def open_file(file: str) -> BinaryIO:
    """The content of the file, decompressed; DataError if it cannot be opened."""
    raw = _open(file)
    kind = next(
        (kind for magic, kind in _MAGIC.items() if raw.read(6).startswith(magic) or raw.seek(0)), None
    )
    raw.seek(0)
    if kind == "gzip":
        import gzip  # these are imported only here: every launch imports this module

        return cast("BinaryIO", gzip.GzipFile(fileobj=raw))
    if kind == "bzip2":
        import bz2

        return cast("BinaryIO", bz2.BZ2File(raw))
    if kind == "xz":
        import lzma

        return cast("BinaryIO", lzma.LZMAFile(raw))
    if kind == "zstd":
        try:
            arrow = importlib.import_module("pyarrow")
        except ImportError:
            raise DataError(
                f"{file} is compressed with Zstandard, which needs pyarrow; pip install pyarrow"
            ) from None
        return cast("BinaryIO", BufferedReader(_Stream(arrow.CompressedInputStream(raw, "zstd")), 1 << 20))
    return raw


class _Stream(RawIOBase):
    """A pyarrow stream as Python's own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """The number of bytes read into the buffer."""
        piece: bytes = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _open(file: str) -> BinaryIO:
    try:
        if not is_address(file):
            return Path(file).open("rb")
        system, path = _system(file)
        return cast("BinaryIO", system.open(path, "rb"))
    except OSError as error:
        raise DataError(
            f"{file} cannot be read: {error.strerror or type(error).__name__}; give the path of a JSONL, JSON, CSV or "
            "Parquet file"
        ) from None


def is_plain(file: str) -> bool:
    """Whether ranges of the file's bytes can be read: it is on this machine's file system and not compressed."""
    if is_address(file):
        return False
    with _open(file) as raw:
        return not raw.read(6).startswith(tuple(_MAGIC))


def size_of(file: str) -> int:
    """The number of bytes as they are stored."""
    if not is_address(file):
        return Path(file).stat().st_size
    system, path = _system(file)
    return int(system.size(path) or 0)


def state_of(file: str) -> str:
    """A value that changes with the content of a file at an address: its checksum, or its size and time in the store."""
    system, path = _system(file)
    return hashlib.sha256(repr(system.ukey(path)).encode()).hexdigest()


def _find_at(address: str) -> tuple[str, ...]:
    system, path = _system(address)
    scheme = address.partition("://")[0]
    try:
        if _WILD & set(path):
            found = [one for one in sorted(system.glob(path)) if system.isfile(one)]
            if not found:
                raise DataError(f"{address} matches no file; look at the folder and the pattern")
        elif system.isfile(path):
            return (address,)
        elif system.isdir(path):
            inside = sorted(one for one in system.ls(path, detail=False) if system.isfile(one))
            return _of_folder(address, [f"{scheme}://{one.lstrip('/')}" for one in inside])
        else:
            raise DataError(f"{address} is not a file; look at the name, and whether you may read it")
    except DataError:
        raise
    except Exception as error:  # every store has exceptions of its own
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{address} cannot be read ({type(error).__name__}: {said[:200]})") from None
    return tuple(f"{scheme}://{one.lstrip('/')}" for one in found)


def _system(address: str) -> tuple[Any, str]:
    """fsspec's file system for the address, and the path in it."""
    scheme = address.partition("://")[0]
    try:
        core = importlib.import_module("fsspec.core")
    except ImportError:
        raise DataError(f"{address} needs fsspec; pip install {_extra(scheme)}") from None
    try:
        return core.url_to_fs(address)
    except ImportError:
        raise DataError(
            f"{address}: fsspec needs one more package for {scheme}://; pip install {_extra(scheme)}"
        ) from None
    except ValueError:
        said = f"{address}: fsspec knows no {scheme}://; use s3://, gs://, hf:// or another of its schemes"
        raise DataError(said) from None
    except Exception as error:
        raise DataError(f"{address} cannot be read ({type(error).__name__})") from None


def _extra(scheme: str) -> str:
    return _PACKAGES.get(scheme) or f"'fsspec[{_EXTRAS.get(scheme, scheme)}]'"
