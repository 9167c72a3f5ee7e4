"""What every command prints: JSON for a machine, aligned columns for a person."""

import json
import math
from collections.abc import Mapping
from typing import Any, cast


def as_json(value: Any) -> str:
    """The value as JSON for a machine; a metric that is no number (NaN, infinity) is null, since JSON has no word for it."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in cast("list[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def align(lines: list[tuple[str, str]]) -> str:
    """Labels in one column."""
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{label:<{width}}  {text}".rstrip() for label, text in lines)
