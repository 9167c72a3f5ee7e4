"""A check before the launch that the training method's module for the ranks exists and is complete, without running it."""

from launcher.config import Config
from launcher.errors import ConfigError
from launcher.launching.definitions import find_names
from launcher.methods.registry import find_method

_NEEDED = ("arguments", "make")


def check_rank_module(config: Config) -> None:
    """Raises ConfigError if the module is not found here, or does not define the functions that the ranks call."""
    kind = config.trainer.kind
    module = find_method(kind).module
    names = find_names(f"trainer.kind={kind}: its module {module}", module)
    for function in _NEEDED if names is not None else ():
        if function not in (names or ()):
            raise ConfigError(
                f"trainer.kind={kind}: its module {module} has no function {function}, which the ranks call; add it"
            )
