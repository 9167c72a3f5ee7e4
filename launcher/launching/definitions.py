"""The names that a module defines, read from its source without importing it."""

import ast
import importlib.util
from pathlib import Path

from launcher.errors import ConfigError

_PACKAGE = Path(__file__).parents[1]


def find_names(key: str, module: str) -> set[str] | None:
    """Names that the module defines at its top level; None if they cannot be known without running it.

    ConfigError, which begins with `key`, if the module is not found here or cannot be read.
    """
    if (own := _own_file(module)) is not None:
        return _names(key, own)
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError) as error:
        raise ConfigError(f"{key} cannot be imported: {error}; is its package installed here?") from None
    if found is None:
        raise ConfigError(
            f"{key} cannot be imported: there is no module {module}, neither in this folder nor installed here"
        )
    return _names(key, Path(found.origin)) if found.origin and found.origin.endswith(".py") else None


def _own_file(module: str) -> Path | None:
    """The file of a module of this project, without the import of its packages; None if it is none, or a package."""
    package, _, rest = module.partition(".")
    file = _PACKAGE.joinpath(*rest.split(".")).with_suffix(".py")
    return file if package == _PACKAGE.name and rest and file.is_file() else None


def _names(key: str, file: Path) -> set[str] | None:
    names: set[str] = set()
    try:
        body = ast.parse(file.read_text()).body
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{key} cannot be imported: {file} cannot be read: {error}") from None
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif not isinstance(node, ast.Expr):
            return None  # an if or a try: its definitions are unknown here
    return None if "*" in names or "__getattr__" in names else names
