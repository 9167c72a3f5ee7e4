"""Which keys of the configuration hold texts, by the schema."""

import dataclasses
from typing import Any, get_args, get_origin, get_type_hints

from launcher.config.run import Config

OPTIONS = ("cluster.sbatch.", "cluster.srun.", "cluster.options.")
"""What the options of a scheduler begin with; some of these have no value: they are switched on and off."""


def dataclass_of(hint: Any) -> type | None:
    """The dataclass that a type hint names, also as Optional or in a list; None if it names none."""
    kinds = (hint, *get_args(hint))
    return next((kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)), None)


def is_text(hint: Any, key: str) -> bool:
    """Whether a key of that type holds a text. Options of a scheduler are texts, switches or numbers."""
    kinds = [one for one in (hint, *get_args(hint)) if one is not type(None)]
    return (str in kinds and int not in kinds) or (
        hint is Any and key.startswith((*OPTIONS, "cluster.time_limits."))
    )


def declares_text(key: str) -> bool:
    """Whether the schema declares a text for the key, or a mapping whose values are texts."""
    hint: Any = Config
    for name in key.split("."):
        schema = dataclass_of(hint)
        if get_origin(hint) is dict:
            hint = get_args(hint)[1]
        elif schema and get_origin(hint) is not list:
            hint = get_type_hints(schema).get(name)
        else:
            return False
    return hint is not None and get_origin(hint) is not list and is_text(hint, key)
