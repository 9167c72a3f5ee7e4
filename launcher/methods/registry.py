"""All training methods, and the spec of a name."""

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
    """The spec of that trainer.kind; ConfigError where there is none, with the nearest name."""
    return METHODS.find(kind)
