"""How the rows of a file are stored, from its first bytes and its name; an error says what any other file is."""

import json
import zlib
from lzma import LZMAError

from launcher.data.places import open_file, suffix_of
from launcher.errors import DataError

BOM = b"\xef\xbb\xbf"
HEAD = 1 << 20
"""Bytes from the beginning of a file by which it is judged."""
_DATA = "give a JSONL, JSON, CSV, TXT or Parquet file"
_OTHERS = (
    (
        b"version https://git-lfs.github.com/spec",
        "a Git LFS pointer, not the data itself; `git lfs pull` fetches the data",
    ),
    (
        b"# xet version",
        "a Xet pointer, not the data itself; `git lfs pull`, or `hf download`, fetches the data",
    ),
    (b"<?xml", f"an XML file; write its rows as JSONL, and {_DATA}"),
    (b"/annex/objects/", "a git-annex pointer, not the data itself; `git annex get` fetches the data"),
    (b"\xd0\xcf\x11\xe0", f"a file of an older Excel or Word; save it as CSV (UTF-8) or text, and {_DATA}"),
    (b"{\\rtf", f"a text with formats (RTF); save it as plain text and {_DATA}"),
    (b"7z\xbc\xaf\x27\x1c", f"a 7z archive; unpack it and {_DATA}"),
    (b"SQLite format 3", f"an SQLite database; export its table and {_DATA}"),
    (b"%PDF", f"a PDF; extract its text and {_DATA}"),
    (b"\x93NUMPY", f"a numpy array; {_DATA}"),
    (b"\x80\x04\x95", f"a pickle, which could run code and is never opened; write it as JSONL and {_DATA}"),
    (b"\x89HDF", f"an HDF5 file; {_DATA}"),
    (b"FEA1", "an old Feather file (version 1); write it again with pandas' to_feather or to_parquet"),
    (b"ORC", f"an ORC file; write it as Parquet, and {_DATA}"),
    (b"Obj\x01", f"an Avro file; write it as Parquet, and {_DATA}"),
    (
        b"\x04\x22\x4d\x18",
        "compressed with LZ4; `lz4 -d` unpacks it, and gzip, bzip2, xz and Zstandard are read as they are",
    ),
    (b"\xff\x06\0\0sNaPpY", "compressed with Snappy; unpack it, or use gzip, bzip2, xz or Zstandard"),
    (
        b"\x1f\x9d",
        "compressed with compress; `uncompress` unpacks it, and gzip, bzip2, xz and Zstandard are read as they are",
    ),
    (b"Rar!", f"a RAR archive; unpack it and {_DATA}"),
    (b"\x89PNG", "a PNG picture, and only texts are trained on"),
    (b"\xff\xd8\xff", "a JPEG picture, and only texts are trained on"),
    (b"GGUF", "a GGUF file, weights of a model and not data"),
    (b"outs:\n- md5", "a DVC pointer, not the data itself; `dvc pull` fetches the data"),
)
_ENCODINGS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


_ZIPPED = (
    (b"xl/", "an Excel file; save its sheet as CSV (UTF-8) there, and give that"),
    (b"word/", "a Word document; save it as plain text, and give that"),
    (b"opendocument", "a LibreOffice document; save it as CSV or plain text, and give that"),
    (b"", f"a zip archive; unpack it, and {_DATA}"),
)
"""What a zip archive is, by a word near its beginning."""


def storage(file: str) -> str:
    """The storage of the rows: jsonl, json (one array), object (objects over several lines), csv, txt, parquet or arrow.

    DataError if the file cannot be read, or is something else than data.
    """
    head = read_head(file)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    _refuse_others(file, head)
    suffix = suffix_of(file)
    if suffix in (".csv", ".tsv", ".txt"):
        return _of_text(head) if suffix == ".txt" else "csv"
    if suffix == ".parquet":
        raise DataError(f"{file} is not a Parquet file, whatever its name says; write it again, or rename it")
    text = head.removeprefix(BOM).lstrip()
    if text.startswith(b"["):
        return "jsonl" if _is_list_per_line(text) else "json"
    return "object" if _is_over_lines(text) else "jsonl"


def _of_text(head: bytes) -> str:
    """How a file with the suffix .txt is read: as plain text, or as JSONL if its first lines are objects with names."""
    lines = [line for line in head.removeprefix(BOM).split(b"\n", 3)[:2] if line.strip()]
    return "jsonl" if lines and all(_is_row(line) for line in lines) else "txt"


def read_head(file: str) -> bytes:
    """The first bytes of the file, decompressed."""
    try:
        with open_file(file) as content:
            return content.read(HEAD)
    except (EOFError, ValueError, zlib.error, LZMAError, OSError) as error:
        raise broken_stream(file, error) from None


def broken_stream(file: str, error: Exception) -> DataError:
    """The refusal of a file whose content ends, or cannot be decompressed."""
    said = str(error).strip().splitlines()
    return DataError(
        f"{file} cannot be read: {said[0] if said else type(error).__name__}; is it complete? Copy or download it again"
    )


def _refuse_others(file: str, head: bytes) -> None:
    if head.startswith(b"PK\x03\x04"):
        raise DataError(f"{file} is {next(what for word, what in _ZIPPED if word in head)}")
    for magic, what in _OTHERS:
        if head.startswith(magic):
            raise DataError(f"{file} is {what}")
    if head[8:10] == b'{"' and head[:8] != head[:8].strip(b"\0"):
        raise DataError(f"{file} is a safetensors file, weights of a model and not data")
    if head[257:262] == b"ustar":
        raise DataError(f"{file} is a tar archive; unpack it and {_DATA}")
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise DataError(
            f"{file} is a web page, not data; download the file itself, not the page that shows it"
        )
    for mark, name in _ENCODINGS:
        if head.startswith(mark):
            raise DataError(_encoded(file, name))
    start = head[:200]
    if len(start) >= 8 and (start[1::2].count(0) > len(start) // 5 or start[::2].count(0) > len(start) // 5):
        if start.count(0) == len(start):
            raise DataError(f"{file} begins with NUL bytes: it is damaged, as after a crash; write it again")
        raise DataError(_encoded(file, "UTF-16LE" if start[1::2].count(0) else "UTF-16BE"))


def _encoded(file: str, name: str) -> str:
    return f"{file} is {name}, not UTF-8; convert it: iconv -f {name} -t UTF-8 {file} > NEW"


def _is_list_per_line(text: bytes) -> bool:
    """Whether each line is an array of its own, and not a part of one array."""
    first, end, rest = text.partition(b"\n")
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, list) and bool(end) and rest.lstrip().startswith(b"[")


def _is_over_lines(text: bytes) -> bool:
    """Whether an object begins in the first line that does not end there, or that is the only one and holds the rows."""
    if not text.startswith(b"{"):
        return False
    first, end, rest = text.partition(b"\n")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        if _is_row(first.rstrip().removesuffix(b",")):
            return False  # lines that end with a comma, as in an array
        return bool(end) and (first.rstrip().endswith((b"{", b"[", b",")) or _spans_lines(text, len(first)))
    return not rest.strip()


def _is_row(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _spans_lines(text: bytes, line: int) -> bool:
    try:
        _, stop = json.JSONDecoder().raw_decode(text.decode(errors="replace"))
    except (ValueError, RecursionError):
        return False
    return stop > line
