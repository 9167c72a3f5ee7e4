"""How the rows of a file are read: their format, the names of their keys, and what an invalid row does."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from launcher.config import BadRow, DataConfig
from launcher.config.data import AUTO
from launcher.errors import ConfigError, unknown
from launcher.frozen_dataclass import frozen_dataclass

_MOST = 0.1
"""Share of invalid rows above which the file is most often read wrongly as a whole."""


@frozen_dataclass
class Reading:
    """The part of the configuration that decides what a row means."""

    format: str = AUTO
    columns: tuple[tuple[str, str], ...] = ()
    """(key of a format, column of the file that holds it, or a place within one)"""
    drop: tuple[str, ...] = ()
    """Keys of the file that are left out without a warning."""
    keep: tuple[str, ...] = ()
    """If not empty, all other keys of the file are left out without a warning."""
    roles: tuple[tuple[str, str], ...] = ()
    """(name of a speaker in the file, role)"""
    skip: bool = False
    """Leave invalid rows out, instead of refusing the file."""
    max_bad_share: float = 0.01
    """Share of invalid rows above which the file is refused in spite of `skip`."""

    @property
    def named(self) -> tuple[str, ...]:
        """Keys of the file that are named: each of them should be in some row."""
        return (*(theirs for _, theirs in self.columns), *self.drop, *self.keep)

    def rename(self, row: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The row with the keys that formats know, and the keys that are not read because data.columns gives their name to
        another one."""
        if not (self.columns or self.drop or self.keep):
            return row, []
        from launcher.data.within import (
            column_of,
            dig,
        )  # imported here, as below: every launch imports this module

        taken = {theirs: ours for ours, theirs in self.columns if theirs in row}
        renamed: dict[str, Any] = {}
        replaced: list[str] = []
        inner = {ours: theirs for ours, theirs in self.columns if theirs not in row and "." in theirs}
        found = {ours: value for ours, theirs in inner.items() if (value := dig(row, theirs)) is not None}
        opened = {column_of(inner[ours], row) for ours in found}
        for key, value in row.items():
            if key in taken:
                renamed[taken[key]] = value
            elif key in self.drop or (self.keep and key not in self.keep) or key in opened - found.keys():
                continue
            elif key in taken.values() or (key in found and key not in opened):
                replaced.append(key)
            elif key not in found:
                renamed[key] = value
        return renamed | found, replaced

    def present(self, row: dict[str, Any]) -> Iterator[str]:
        """The keys that the configuration names and that this row has."""
        from launcher.data.within import dig

        return (name for name in self.named if name in row or ("." in name and dig(row, name) is not None))

    def too_many(self, bad: int, rows: int) -> str | None:
        """Why the file is refused although invalid rows may be left out; None if it is not."""
        if not bad or bad <= self.max_bad_share * rows:
            return None
        return (
            f"{bad:,} of {rows:,} rows ({bad / rows:.1%}) are invalid, more than data.max_bad_share={self.max_bad_share:g} "
            "lets data.on_bad_row=skip leave out; correct them, or raise data.max_bad_share"
        )


def skipping(bad: int, rows: int) -> str | None:
    """The keys that leave so many invalid rows out; None if they are too many to be chance."""
    share = bad / max(rows, 1)
    if share > _MOST:
        return None
    least = next(limit for limit in (0.01, 0.02, 0.05, _MOST) if share <= limit)
    more = "" if least == AS_IT_STANDS.max_bad_share else f" data.max_bad_share={least:g}"
    return f"data.on_bad_row=skip{more}"


AS_IT_STANDS = Reading()
"""Every format is detected, and no key has another name."""


def reading_of(data: DataConfig, source: int | None = None) -> Reading:
    """How data.path and data.eval_path are read, or the training set of data.sources with this number."""
    one = None if source is None else data.sources[source]
    columns = (one.columns if one else {}) or data.columns
    return make_reading(
        format=one.format if one else data.format,
        columns=columns,
        drop=data.drop,
        keep=data.keep,
        roles=data.roles,
        skip=data.on_bad_row is BadRow.skip,
        max_bad_share=data.max_bad_share,
    )


def make_reading(
    *,
    format: str = AUTO,
    columns: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    roles: Mapping[str, str] | None = None,
    skip: bool = False,
    max_bad_share: float = 0.01,
) -> Reading:
    """The values of the keys of the data group; ConfigError for an invalid one."""
    named = tuple((ours, theirs) for ours, theirs in (columns or {}).items())
    if named:
        _check_columns(named)
    if both := sorted({*drop} & {*keep, *(theirs for _, theirs in named)}):
        one = "it" if len(both) == 1 else "each"
        raise ConfigError(
            f"data.drop=[{','.join(both)}] is also in data.keep or data.columns; take {one} out of one"
        )
    if roles:
        _check_roles(roles)
    if not 0 <= max_bad_share < 1:
        raise ConfigError(
            f"data.max_bad_share={max_bad_share:g} must be at least 0 and below 1: it is a share"
        )
    return Reading(
        format=format,
        columns=named,
        drop=tuple(drop),
        keep=tuple(keep),
        roles=tuple((roles or {}).items()),
        skip=skip,
        max_bad_share=max_bad_share,
    )


def _check_roles(roles: Mapping[str, str]) -> None:
    from launcher.data.speakers import ROLES

    for speaker, role in roles.items():
        if role not in ROLES:
            raise ConfigError(f"data.roles={{{speaker}: {role}}}: {unknown('role', role, ROLES)}")


def _check_columns(columns: tuple[tuple[str, str], ...]) -> None:
    from launcher.formats.base import (
        ABOUT,  # imported here, as the registry is: most data have the keys of a format
    )
    from launcher.formats.registry import known_formats

    known = [*dict.fromkeys(key for one in known_formats().formats.values() for key in one.keys), *ABOUT]
    seen: dict[str, str] = {}
    for ours, theirs in columns:
        if ours not in known:
            swapped = f"; write data.columns={{{theirs}: {ours}}}" if theirs in known else ""
            raise ConfigError(
                f"data.columns={{{ours}: {theirs}}}: {unknown('key of a format', ours, known[: -len(ABOUT)])}{swapped}"
            )
        if theirs in seen:
            raise ConfigError(
                f"data.columns: the column {theirs} is given for {seen[theirs]} and for {ours}; name another column for one"
            )
        seen[theirs] = ours
