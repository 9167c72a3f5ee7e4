"""Hides secrets in a page: those that the caller knows, and everything that looks like a token."""

import re
from collections.abc import Iterable, Mapping

from launcher.masking import HIDDEN, IN_ADDRESS, LOOKS, SHORTEST
from launcher.plan.place import SECRET_NAME

_NAMED = re.compile(
    r"(?P<name>[\w.+-]*(?:TOKEN(?!IZ|S)|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL)[\w.]*\s*[=:]\s*)(?P<value>[^\s,;'\"]+)",
    re.IGNORECASE,
)


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
