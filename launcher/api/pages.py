"""Pages of a list: `limit` rows after the one whose id is given. Every query names the tenant, or a job found for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.after.serve.documents import RequestRefused
from launcher.api.documents import Document, list_document
from launcher.api.store import Row, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """The wanted part of a list."""

    limit: int
    after: str | None
    newest_first: bool = True


def read_page(
    store: Store,
    page: ListPage,
    table: str,
    where: str,
    values: Sequence[Any],
    write: Callable[[Row], Document],
) -> Document:
    """The page of the rows of a table; RequestRefused if `after` is not a row of that list.

    `table` and `where` are texts of this program; whatever a request says is in `values`.
    """
    beyond, bound = "", list(values)
    if page.after is not None:
        at = store.row(f"SELECT number FROM {table} WHERE {where} AND id = ?", *values, page.after)
        if at is None:
            raise RequestRefused(f"No such object: {page.after[:100]}", status=404, param="after")
        beyond = f" AND number {'<' if page.newest_first else '>'} ?"
        bound.append(at["number"])
    order = "DESC" if page.newest_first else "ASC"
    rows = store.rows(
        f"SELECT * FROM {table} WHERE {where}{beyond} ORDER BY number {order} LIMIT ?", *bound, page.limit + 1
    )
    return list_document([write(row) for row in rows[: page.limit]], len(rows) > page.limit)
