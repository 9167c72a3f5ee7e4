"""All training methods, and the look-up of one by its name."""

import functools

from launcher.methods.base import Method
from launcher.registry import Registry

METHODS = Registry(
    kind="training method",
    key="trainer.kind",
    package="launcher.methods",
    group="launcher.methods",
    spec=Method,
    skipped=frozenset({"base", "registry", "keys", "checks", "rows"}),
)


@functools.cache
def find_method(kind: str) -> Method:
    """The spec of that trainer.kind; ConfigError with the nearest name if there is none."""
    return METHODS.find(kind)
