"""A data set on the hub: its name, and what the hub says about it before it is downloaded.

The name is hub:NAME[/SUBSET][:SPLIT][@REVISION]. Subsets, splits and columns are compared with the request.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from launcher.config.data import AUTO
from launcher.data.files import parse_lines
from launcher.data.meanings import no_format
from launcher.data.read import detect, plain_names
from launcher.data.reading import Reading
from launcher.data.tables import read_csv
from launcher.data.tidy import meant_by
from launcher.data.within import column_of
from launcher.errors import DataError, nearest
from launcher.formats.registry import known_formats

_NAME = re.compile(
    r"hub:(?P<name>[\w.-]+(/[\w.-]+)?)(/(?P<subset>[\w.-]+))?(:(?P<split>[\w.%:\[\]-]+))?(@(?P<revision>[\w./-]+))?"
)
_STARTS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""Suffixes of files whose first rows can be read from their first bytes."""


@dataclass(frozen=True, slots=True)
class HubName:
    """The arguments for datasets.load_dataset."""

    name: str
    subset: str | None
    split: str
    revision: str | None


def parse_hub(text: str) -> HubName:
    """The parts of the name; DataError if it is not the name of a hub data set. The split is `train` unless given."""
    found = _NAME.fullmatch(text)
    if not found:
        raise DataError(
            f"{text} is not the name of a hub data set; write hub:NAME[/SUBSET][:SPLIT][@REVISION]"
        )
    return HubName(found["name"], found["subset"], found["split"] or "train", found["revision"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Names that the hub knows; empty where it does not say."""

    subsets: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


def describe_card(card: Mapping[str, Any], subset: str | None) -> Described:
    """What the metadata of a data set's card says. Source: the hub's manual, "Dataset Cards", dataset_info and configs."""
    infos, configs = _objects(card.get("dataset_info")), _objects(card.get("configs"))
    subsets = dict.fromkeys(str(one["config_name"]) for one in (*infos, *configs) if one.get("config_name"))
    wanted = subset or ("default" if "default" in subsets or len(subsets) != 1 else next(iter(subsets)))
    info = next((one for one in infos if one.get("config_name", "default") == wanted), dict[str, Any]())
    config = next((one for one in configs if one.get("config_name", "default") == wanted), dict[str, Any]())
    splits = [str(one["name"]) for one in _objects(info.get("splits")) if "name" in one]
    splits += [str(one["split"]) for one in _objects(config.get("data_files")) if "split" in one]
    columns = [str(one["name"]) for one in _objects(info.get("features")) if "name" in one]
    return Described(subsets=tuple(subsets), splits=tuple(dict.fromkeys(splits)), columns=tuple(columns))


def _objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list, or the only one."""
    items = cast("list[Any]", value) if isinstance(value, list) else [value]
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def check_names(path: str, name: HubName, found: Described) -> None:
    """DataError if the data set has no such subset or split."""
    subsets, splits = found.subsets, found.splits
    if name.subset and subsets and name.subset not in subsets:
        raise DataError(f"{path} has no subset {name.subset}{_known(name.subset, subsets)}")
    if not name.subset and len(subsets) > 1 and "default" not in subsets:
        raise DataError(f"{path} needs a subset: hub:{name.name}/SUBSET{_known('', subsets)}")
    split = name.split.partition("[")[0]
    if splits and "+" not in split and split != "all" and split not in splits:
        raise DataError(f"{path} has no split {split}{_known(split, splits)}; write hub:{name.name}:SPLIT")


def _known(name: str, known: Sequence[str]) -> str:
    close = nearest(name, known)
    return (
        f"; did you mean {close}? It has {', '.join(known[:20])}"
        if close
        else f"; it has {', '.join(known[:20])}"
    )


def check_columns(path: str, columns: Sequence[str], reading: Reading) -> tuple[str, list[str]]:
    """The kind of rows with these columns, and warnings; DataError if they are of no format, or not of the one that is asked.

    Only names are known here: a value can still be wrong, which the nodes find.
    """
    for ours, theirs in reading.columns:
        if column_of(theirs, tuple(columns)) not in columns:
            raise DataError(
                f"{path}: data.columns={{{ours}: {theirs}}}, but it has the columns {', '.join(columns)}"
            )
    row, replaced = reading.rename(_unknown_values(columns, reading))
    name = detect(row) if reading.format == AUTO else reading.format
    if name is None:
        row = plain_names(row)
        name = detect(row)
    if name is None:
        raise DataError(f"{path}: {no_format(row, reading)}")
    one = known_formats().formats[name]
    if not one.matches(row):
        raise DataError(f"{path} is not of the format {name}; it has the columns {', '.join(columns)}")
    odd = [key for key in row if key not in known_formats().allowed[name]]
    for key in odd:
        if meant := meant_by(key, one, row):
            raise DataError(
                f"{path}: unknown column '{key}'; did you mean {meant}? Set data.columns={{{meant}: {key}}}, or "
                f"data.drop=[{key}]"
            )
    return one.kind, _said(path, [*odd, *replaced])


def _unknown_values(columns: Sequence[str], reading: Reading) -> dict[str, Any]:
    """A row with these columns, whose values are not known; a place within one that data.columns names is a column."""
    inner = [theirs for _, theirs in reading.columns if theirs not in columns]
    opened = {column_of(one, tuple(columns)) for one in inner}
    return dict.fromkeys([*(one for one in columns if one not in opened), *inner], "")


def _said(path: str, dropped: Sequence[str]) -> list[str]:
    if not dropped:
        return []
    return [
        f"{path}: columns that are not read: {', '.join(dropped)}; data.drop=[{','.join(dropped)}] says that this is intended "
        "[dropped_keys]"
    ]


def first_file(files: Sequence[str], split: str) -> str | None:
    """The file whose first rows tell the columns: one of the split if its name says so; None if none can be read so."""
    readable = [file for file in files if file.endswith(_STARTS) and "/." not in f"/{file}"]
    readable = [file for file in readable if not file.endswith(("dataset_infos.json", "dataset_info.json"))]
    return next((file for file in readable if split in file), readable[0] if readable else None)


def columns_of_start(file: str, start: bytes) -> tuple[str, ...]:
    """The columns of the first rows in the first bytes of a file; empty if no whole row is in them."""
    if file.endswith((".csv", ".tsv")):
        header = start.partition(b"\n")[0].rstrip(b"\r").decode(errors="replace")
        names = header + "\n" + header + "\n"
        row = next(read_csv(io.BytesIO(names.encode())), None)
    else:
        row = next(parse_lines(start[: start.rfind(b"\n") + 1], 1), None)
    value: Any = row.value if row is not None and row.fault is None else None
    return tuple(cast("dict[str, Any]", value)) if isinstance(value, dict) else ()
