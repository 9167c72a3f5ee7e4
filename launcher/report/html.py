"""Renders a Page as HTML, with secrets hidden: one file that needs no network and cannot access one."""

import base64
import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from launcher.masking import HIDDEN, IN_ADDRESS, LOOKS, SHORTEST
from launcher.plan.place import SECRET_NAME
from launcher.report.page import Page
from launcher.units import number

_NAMED = re.compile(
    r"(?P<name>[\w.+-]*(?:TOKEN(?!IZ|S)|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL)[\w.]*\s*[=:]\s*)(?P<value>[^\s,;'\"]+)",
    re.IGNORECASE,
)
MARK = '<meta name="generator" content="launcher report">'
"""A tag near the beginning of every page, by which a page of this project is recognised."""
_FOLDER = Path(__file__).parent / "page"
_LIBRARY = "echarts.min.js"


def known_secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values of environment variables whose names look like secrets, longest first."""
    values = {
        value for name, value in environment.items() if SECRET_NAME.search(name) and len(value) >= SHORTEST
    }
    return tuple(sorted(values, key=len, reverse=True))


def conceal(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` with every secret in it hidden."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = LOOKS.sub(HIDDEN, text)
    text = IN_ADDRESS.sub(rf"\g<scheme>{HIDDEN}@", text)
    return _NAMED.sub(rf"\g<name>{HIDDEN}", text)


def render_page(page: Page, secrets: Iterable[str] = ()) -> str:
    """The page as HTML, with every text escaped and every secret hidden.

    Its Content-Security-Policy allows only the page's own two scripts, by their hashes, and no requests, so that markup in a
    name or an error message could do nothing. Source: W3C, Content Security Policy Level 3.
    """
    clean = _clean(page, tuple(secrets))
    scripts = [_script(_LIBRARY), _script("page.js")]
    specs = {chart.id: {"kind": chart.kind, "title": chart.title, **chart.spec} for chart in clean.charts}
    allowed = " ".join(f"'{_digest(script)}'" for script in scripts)
    return _template().render(
        page=clean,
        mark=MARK,
        style=_text("page.css"),
        scripts=scripts,
        data=as_script_data(specs),
        policy=f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    )


def as_script_data(value: Any) -> str:
    """JSON that is safe inside a script element: nothing in it ends the element or starts a comment.

    Source: HTML Living Standard, "Restrictions for contents of script elements".
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _clean(value: Any, secrets: tuple[str, ...]) -> Any:
    """The value with the secrets in all its texts hidden."""
    if isinstance(value, str):
        return conceal(value, secrets)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return dataclasses.replace(value, **{name: _clean(getattr(value, name), secrets) for name in names})
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value)
        return {_clean(key, secrets): _clean(item, secrets) for key, item in items.items()}
    if isinstance(value, Sequence):
        parts = cast("Sequence[Any]", value)
        return [_clean(part, secrets) for part in parts]
    return value


def _cell(value: Any) -> str:
    """A table's cell as text."""
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _script(name: str) -> str:
    """A script with exactly the characters that the page has between the script tags, over which the hash is computed."""
    return f"\n{_text(name)}\n"


def _digest(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


@cache
def _text(name: str) -> str:
    """One of the page's files, with line ends normalised as an HTML parser does."""
    return (_FOLDER / name).read_text(encoding="utf-8").replace("\r\n", "\n").replace("\r", "\n").strip("\n")


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    filters = {"cell": _cell, "is_number": _is_number}
    environment.filters.update(filters)  # pyright: ignore[reportUnknownMemberType] jinja2 does not type it
    return environment.get_template("page.html.j2")
