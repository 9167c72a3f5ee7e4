"""Whom a run tells of its end: the items of `notify`. An address that is a secret is named by a variable, never written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from launcher.errors import ConfigError

_MAIL = re.compile(r"mailto:[A-Za-z0-9][^@\s,;:<>()\"'\\]*@[A-Za-z0-9][A-Za-z0-9.-]*")
_VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_HOOKS = (
    "hooks.slack.com",
    "discord.com",
    "discordapp.com",
    "webhook.office.com",
    "api.telegram.org",
    "hooks.zapier.com",
)
"""Services whose hooks hold their secret in the path."""
_TOKEN = re.compile(r"(?=[^/]*\d)[^/]{16,}")
_FORMS = "use mailto:NAME@HOST, https://HOST/PATH, or env:NAME for the address in the variable NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An item of notify."""

    shown: str
    """The item as it was typed, which holds no secret."""
    address: str
    """mailto:... or http(s)://...; that of a variable is a secret."""


def check_targets(items: list[str], environ: Mapping[str, str]) -> None:
    """ConfigError for an item of no known form, for a URL with a secret in it, and for a variable that is not set here."""
    for item in items:
        if not (named := _VARIABLE.fullmatch(item)):
            _check_typed(item)
            continue
        value = environ.get(named[1])
        if value is None:
            raise ConfigError(
                f"notify={item}: {named[1]} is not set in this shell; export it (jobs inherit it), or remove the item"
            )
        if not (_MAIL.fullmatch(value) or _is_url(value)):
            raise ConfigError(
                f"notify={item}: the value of {named[1]} is not an address; it must be https://... or mailto:..."
            )


def targets_of(items: list[str], environ: Mapping[str, str]) -> list[Target]:
    """The targets of a run; one whose variable is not set here has an empty address."""
    found: list[Target] = []
    for item in items:
        named = _VARIABLE.fullmatch(item)
        found.append(Target(shown=item, address=environ.get(named[1], "") if named else item))
    return found


def _check_typed(item: str) -> None:
    if _MAIL.fullmatch(item):
        return
    if not _is_url(item):
        # a part of a URL can be a secret even if the URL is mistyped
        shown = item if "/" not in item else f"{item.partition('/')[0]}/..."
        raise ConfigError(f"notify={shown} is not an address; {_FORMS}")
    parts = urlsplit(item)
    host = (parts.hostname or "").rstrip(".")
    secret = (
        parts.username or parts.password or parts.query or parts.fragment or host.endswith(_HOOKS)
        or any(_TOKEN.fullmatch(part) for part in parts.path.split("/"))
    )  # fmt: skip
    if secret:
        raise ConfigError(
            f"notify={parts.scheme}://{host}/... can hold a secret, and the configuration is written to files; export the "
            "address in a variable, such as MY_HOOK, and set 'notify=[env:MY_HOOK]'"
        )


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and value.isprintable()
            and " " not in value
        )
    except ValueError:
        return False
