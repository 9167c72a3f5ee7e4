"""Whether transformers, as it is installed here, has the code of a model, without importing it: the import takes seconds."""

import importlib.metadata
import importlib.util
import re
from pathlib import Path

from launcher.config import Config
from launcher.launching.model_gate import folder_of, shipped_code
from launcher.reading import object_in

_LISTS = ("auto_mappings.py", "configuration_auto.py")
"""Modules of transformers.models.auto that list model types. Source: transformers 5.23; earlier versions have the second."""
_ENTRY = re.compile(r'"([\w.-]+)"[:,] "\w+Config"')
_FEWEST = 100
"""Types below which the modules are not read as they are written: transformers 4 has more than 200."""


def lacking_code(config: Config) -> str | None:
    """One sentence with the way on if the ranks could not make the model; None if they can, or if it is not known here."""
    folder = folder_of(config)
    values = object_in(folder / "config.json") if folder else None
    model_type = values.get("model_type") if values else None
    if values is None or not isinstance(model_type, str):
        return None
    known = known_types()
    if known is None or model_type in known:
        return None
    told = f"model.name_or_path={config.model.name_or_path}"
    if not values.get("auto_map"):
        version = importlib.metadata.version("transformers")
        return f"{told}: transformers {version} does not know its model_type {model_type}, and it ships no code of its own"
    return None if config.model.trust_remote_code else f"{told}: {shipped_code(model_type)}"


def known_types() -> frozenset[str] | None:
    """The model types that transformers can make; None if it is not installed or lists them in another way."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        return None
    lists = [Path(spec.origin).parent / "models" / "auto" / name for name in _LISTS]
    found = frozenset(
        name for file in lists if file.is_file() for name in _ENTRY.findall(file.read_text(encoding="utf-8"))
    )
    return found if len(found) >= _FEWEST else None
