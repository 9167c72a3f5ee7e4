"""Whether trainer.reward_functions name what there is, told before the launch and without running it."""

import ast
import importlib.util
from pathlib import Path
from typing import Any, cast

from launcher.config import Config
from launcher.errors import ConfigError, unknown


def check_reward_functions(config: Config) -> None:
    """ConfigError for a function whose module is not found here, or that its source does not define."""
    for number, function in enumerate(config.trainer.reward_functions):
        target = str(cast("dict[str, Any]", function)["_target_"])
        module, _, name = target.rpartition(".")
        key = f"trainer.reward_functions[{number}]._target_={target}"
        try:
            found = importlib.util.find_spec(module)
        except (ImportError, ValueError, AttributeError) as error:
            raise ConfigError(f"{key} cannot be imported: {error}; is its package installed here?") from None
        if found is None:
            raise ConfigError(
                f"{key} cannot be imported: there is no module {module}, neither in this folder nor installed here"
            )
        names = _names(Path(found.origin)) if found.origin and found.origin.endswith(".py") else None
        if names is not None and name not in names:
            raise ConfigError(f"{key}: {unknown(f'function of {module}', name, names)}")


def _names(file: Path) -> set[str] | None:
    """What a module defines at its top; None where that cannot be told without running it."""
    names: set[str] = set()
    try:
        body = ast.parse(file.read_text()).body
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{file}, which trainer.reward_functions needs, cannot be read: {error}") from None
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif not isinstance(node, ast.Expr):
            return None  # an if, a try: what it defines is not known here
    return None if "*" in names or "__getattr__" in names else names
