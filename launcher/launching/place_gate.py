"""Checks, before anything is written, that what a configuration names is there: nodes of an allocation, plugins' files and
packages, and the code of the training method and of reward functions, which is read without running it.
"""

import ast
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from launcher.clusters.registry import find_cluster
from launcher.config import Config, ContainerRuntime
from launcher.errors import ConfigError, DataError, PackageError, unknown
from launcher.methods.registry import find_method
from launcher.packages import missing
from launcher.plan import Facts, LaunchPlan
from launcher.plugins.base import Plugin

_NEEDED = ("arguments", "make")
_PACKAGE = Path(__file__).parents[1]


def check_place(config: Config, facts: Facts, plan: LaunchPlan) -> None:
    """Raises ClusterError, ConfigError or PlanError for a fault that a plan cannot see."""
    check_rank_module(config)
    check_reward_functions(config)
    check_tasks(config, facts)
    find_cluster(facts.cluster).check_room(plan.nodes, plan.spares, os.environ)


def check_plugins(config: Config, facts: Facts, plugins: Sequence[Plugin]) -> None:
    """Raises ConfigError for a missing file that a plugin names, and for a package that the ranks will not find.

    Packages are checked only if the ranks use this Python: on this machine, outside a container.
    """
    here = (
        find_cluster(facts.cluster).one_machine
        and not config.cluster.python
        and config.cluster.container.runtime is ContainerRuntime.none
    )
    for name, plugin in zip(config.plugins, plugins, strict=True):
        for key, path in plugin.files.items():
            if not Path(facts.work_dir, path).is_file():
                raise ConfigError(
                    f"plugins.{name}.{key}={path} is not a file; give a path relative to {facts.work_dir}, or an absolute one"
                )
        for package in missing(plugin.packages) if here else ():
            raise ConfigError(
                f"plugins.{name} needs the package {package.name}, which is not installed here; {package.install}, or remove "
                f"{name} from plugin=[...]"
            )


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


def check_reward_functions(config: Config) -> None:
    """Raises ConfigError for a function whose module is not found here, or that its source does not define."""
    for number, function in enumerate(config.trainer.reward_functions):
        target = str(cast("dict[str, Any]", function)["_target_"])
        module, _, name = target.rpartition(".")
        key = f"trainer.reward_functions[{number}]._target_={target}"
        names = find_names(key, module)
        if names is not None and name not in names:
            raise ConfigError(f"{key}: {unknown(f'function of {module}', name, names)}")


def check_tasks(config: Config, facts: Facts) -> None:
    """Raises DataError for a task file of eval_job that is not here, PackageError without lm-eval in the job's Python."""
    wanted = config.eval_job
    if wanted.every is None:
        return
    for name in wanted.tasks:
        is_file = name.endswith((".yaml", ".yml")) or "/" in name
        if is_file and not Path(facts.work_dir, name).is_file():
            raise DataError(
                f"eval_job.tasks: {name} is not a file; give the path of a task's YAML file, or a task's name"
            )
    if facts.python == sys.executable and importlib.util.find_spec("lm_eval") is None:
        raise PackageError(
            f"eval_job.every={wanted.every} needs lm-evaluation-harness, which this Python does not have; "
            "pip install 'launcher[tasks]', or take eval_job out"
        )


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
    """The file of a module of this project, found without importing its packages; None for a package or another module."""
    package, _, rest = module.partition(".")
    file = _PACKAGE.joinpath(*rest.split(".")).with_suffix(".py")
    return file if package == _PACKAGE.name and rest and file.is_file() else None


def _names(key: str, file: Path) -> set[str] | None:
    names: set[str] = set()
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
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
