"""A check before the launch that the functions in trainer.reward_functions exist, without running them."""

from typing import Any, cast

from launcher.config import Config
from launcher.errors import ConfigError, unknown
from launcher.launching.definitions import find_names


def check_reward_functions(config: Config) -> None:
    """Raises ConfigError for a function whose module is not found here, or that its source does not define."""
    for number, function in enumerate(config.trainer.reward_functions):
        target = str(cast("dict[str, Any]", function)["_target_"])
        module, _, name = target.rpartition(".")
        key = f"trainer.reward_functions[{number}]._target_={target}"
        names = find_names(key, module)
        if names is not None and name not in names:
            raise ConfigError(f"{key}: {unknown(f'function of {module}', name, names)}")
