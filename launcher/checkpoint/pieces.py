"""One rank's file of a checkpoint: contiguous ranges of flattened tensors, in the safetensors format.

Under every strategy (ddp, ZeRO, FSDP2), a rank holds contiguous ranges of flattened tensors. A piece is one range, under the
key `kind/parameter@start`. A checkpoint is therefore read on any number of ranks and under any strategy by intersecting ranges,
without a conversion. It contains no pickle. Source of the format: the safetensors README, "Format".
"""

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from launcher.checkpoint.manifest import FileFacts
from launcher.errors import CheckpointError

CHUNK = 8 << 20
"""Bytes to write, read or digest at a time."""
_LONGEST_HEADER = 100_000_000
"""Bytes. Source: safetensors 0.8, MAX_HEADER_SIZE."""

ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Elements [start, start + numel) of a flattened tensor."""

    name: str
    """kind/parameter, such as exp_avg/model.norm.weight."""
    start: int
    numel: int
    dtype: str
    """Name of the data type in safetensors, such as BF16."""

    @property
    def bytes(self) -> int:
        """Size of the piece."""
        return self.numel * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Located:
    """A piece and the place of its bytes in a file."""

    piece: Piece
    path: Path
    offset: int


def write_pieces(path: Path, pieces: Sequence[Piece], data: memoryview) -> FileFacts:
    """Size and digest of the file, once it is written durably. `data`: the bytes of all pieces, in order. Raises OSError."""
    header: dict[str, Any] = {}
    offset = 0
    for piece in pieces:
        end = offset + piece.bytes
        key = f"{piece.name}@{piece.start}"
        header[key] = {"dtype": piece.dtype, "shape": [piece.numel], "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return write_file(path, [memoryview(struct.pack("<Q", len(text)) + text), data[:offset]])


def write_file(path: Path, parts: Iterable[memoryview]) -> FileFacts:
    """Size and CRC-32 of a new file, once it is written and fsynced."""
    size = digest = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        for part in parts:
            for start in range(0, len(part), CHUNK):
                chunk = part[start : start + CHUNK]
                digest = zlib.crc32(chunk, digest)
                size += len(chunk)
                while chunk:
                    chunk = chunk[os.write(descriptor, chunk) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return FileFacts(bytes=size, crc32=f"{digest:08x}")


def read_index(path: Path) -> list[Located]:
    """The pieces in a file; CheckpointError if its header is broken."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _LONGEST_HEADER:
                raise ValueError(f"its header would have {length:,} bytes")
            header = cast("dict[str, Any]", json.loads(file.read(length)))
        return [
            _located(path, 8 + length, key, entry) for key, entry in header.items() if key != "__metadata__"
        ]
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        OverflowError,
        RecursionError,
        struct.error,
    ) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); name an older checkpoint with resume=PATH"
        ) from None


def _located(path: Path, base: int, key: str, entry: Mapping[str, Any]) -> Located:
    name, _, start = key.rpartition("@")
    begin, end = entry["data_offsets"]
    piece = Piece(name, int(start), int(entry["shape"][0]), entry["dtype"])
    if end - begin != piece.bytes:
        raise ValueError(f"{key} has {end - begin} bytes, not {piece.bytes}")
    return Located(piece, path, base + begin)


class PieceReader:
    """Finds elements of tensors in the files of a checkpoint, and opens only the files that are needed."""

    def __init__(self, paths: Sequence[Path], whole: Mapping[str, Path] = MappingProxyType({})) -> None:
        """`paths`: all rank files, in the order of the search; `whole`: parameter -> the file that has all of it."""
        self._paths = list(paths)
        self._whole = whole
        self._known: dict[str, list[Located]] = {}

    def names(self) -> set[str]:
        """The names (kind/parameter) of all tensors in the checkpoint. Reads the header of every file."""
        while self._paths:
            self._open_next()
        return set(self._known)

    def read(self, name: str, start: int, stop: int, put: Callable[[Piece, int, bytearray], None]) -> None:
        """Passes every part of [start, stop) to `put`, with its offset from `start`; CheckpointError if one is missing."""
        position = start
        while position < stop:
            found = self._find(name, position)
            if found is None:
                raise CheckpointError(
                    f"{name}: elements {position} to {stop} are missing from the files of the checkpoint"
                )
            piece = found.piece
            end = min(stop, piece.start + piece.numel)
            item = ITEM_BYTES[piece.dtype]
            data = bytearray((end - position) * item)
            with found.path.open("rb", buffering=0) as file:
                file.seek(found.offset + (position - piece.start) * item)
                _fill(file, memoryview(data))
            put(Piece(name, position, end - position, piece.dtype), position - start, data)
            position = end

    def _find(self, name: str, position: int) -> Located | None:
        while True:
            for found in self._known.get(name, ()):
                if found.piece.start <= position < found.piece.start + found.piece.numel:
                    return found
            if not self._paths:
                return None
            self._open_next(self._whole.get(name.partition("/")[2]))

    def _open_next(self, first: Path | None = None) -> None:
        """Reads the header of one more file: that of `first` if it is still unread, else that of the next one."""
        for found in read_index(self._paths.pop(self._paths.index(first) if first in self._paths else 0)):
            self._known.setdefault(found.piece.name, []).append(found)


def _fill(file: Any, view: memoryview) -> None:
    while view:
        count = file.readinto(view)
        if not count:
            raise CheckpointError(f"{file.name} ends early; it was truncated after the commit")
        view = view[count:]
