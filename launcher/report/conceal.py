"""Hides secrets in a page: those that the caller knows, and everything that looks like a token."""

import re
from collections.abc import Iterable, Mapping

from launcher.plan.place import SECRET_NAME

HIDDEN = "[hidden]"
_SHORTEST = 8
"""Characters of the shortest secret that is hidden; hiding shorter values would hide common words too."""

# Sources: the prefixes that Hugging Face, OpenAI, GitHub, AWS, Slack and wandb give their tokens.
_LOOKS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}|xox[abprs]-[A-Za-z0-9-]{10,}|"
    r"wandb_v\d_[A-Za-z0-9_]{20,})\b"
)
_NAMED = re.compile(
    r"(?P<name>[\w.+-]*(?:TOKEN(?!IZ|S)|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL)[\w.]*\s*[=:]\s*)(?P<value>[^\s,;'\"]+)",
    re.IGNORECASE,
)
_IN_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s:@]+:[^/\s@]+@")


def known_secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values of environment variables whose names look like secrets, longest first."""
    values = {
        value for name, value in environment.items() if SECRET_NAME.search(name) and len(value) >= _SHORTEST
    }
    return tuple(sorted(values, key=len, reverse=True))


def conceal(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` with every secret in it hidden."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = _LOOKS.sub(HIDDEN, text)
    text = _IN_ADDRESS.sub(rf"\g<scheme>{HIDDEN}@", text)
    return _NAMED.sub(rf"\g<name>{HIDDEN}", text)
