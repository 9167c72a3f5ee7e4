"""A configuration must not contain a secret of the environment, since configurations are written to files."""

import re
from collections.abc import Mapping

from launcher.errors import ConfigError
from launcher.plan.place import SECRET_NAME

_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:\s*([^,}\s]+)")
_CREDENTIALS = re.compile(r"[a-zA-Z][\w+.-]*://[^\s/:@'\"]*:[^\s/@'\"]+@([\w.-]*)")
"""user:password@ in an address; the host remains."""
_SHORTEST = 8
"""Minimum length of a value that counts as a secret: a shorter one occurs in many texts by chance."""


def secrets_of(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables whose names say that they hold secrets."""
    return {
        name: value for name, value in environ.items() if SECRET_NAME.search(name) and len(value) >= _SHORTEST
    }


def refuse_secrets(text: str, secrets: Mapping[str, str]) -> None:
    """Raises ConfigError if the text of a configuration contains one of them, or an address with a password in it."""
    if found := _CREDENTIALS.search(text):
        raise ConfigError(
            f"the configuration has an address with a user's password (...@{found[1]}), and it is written to files; export the "
            "variable that holds the address in your shell instead (HTTPS_PROXY, for example): jobs inherit it"
        )
    for name, value in secrets.items():
        if value in text:
            raise ConfigError(
                f"the configuration contains the value of {name}, and it is written to files; remove it: "
                f"jobs inherit {name}"
            )


def refers_to_secret(text: str) -> str | None:
    """The variable with a secret's name that an interpolation in the text would read; None if there is none."""
    return next((name for name in _ENVIRONMENT.findall(text) if SECRET_NAME.search(name)), None)


def refuse_references(text: str) -> None:
    """Raises ConfigError if an interpolation in the text of a configuration would read a secret of the environment."""
    if name := refers_to_secret(text):
        raise ConfigError(
            f"the configuration refers to {name} by ${{oc.env:{name}}}, and configurations are written to files; remove it: "
            f"jobs inherit {name}"
        )


def conceal(text: str, secrets: Mapping[str, str]) -> str:
    """The text with the name of the variable instead of each secret value."""
    for name, value in secrets.items():
        text = text.replace(value, f"${{{name}}}")
    return text
