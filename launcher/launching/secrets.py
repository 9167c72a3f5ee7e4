"""No secret of the environment may stand in a configuration, since configurations are written to files."""

from collections.abc import Mapping

from launcher.errors import ConfigError
from launcher.plan.place import SECRET_NAME

_SHORTEST = 8
"""Characters of a value from which it is taken for a secret: a shorter one stands in many texts by chance."""


def secrets_of(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that hold secrets, by their names."""
    return {
        name: value for name, value in environ.items() if SECRET_NAME.search(name) and len(value) >= _SHORTEST
    }


def refuse_secrets(text: str, secrets: Mapping[str, str]) -> None:
    """ConfigError when one of them stands in the text of a configuration."""
    for name, value in secrets.items():
        if value in text:
            raise ConfigError(
                f"the value of {name} stands in the configuration, which is written to files; take it out: "
                f"jobs inherit {name}"
            )
