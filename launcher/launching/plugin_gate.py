"""A check of what plugins need from the machine, before anything is written or queued."""

from collections.abc import Sequence
from pathlib import Path

from launcher.clusters.registry import find_cluster
from launcher.config import Config, ContainerRuntime
from launcher.errors import ConfigError
from launcher.packages import missing
from launcher.plan import Facts
from launcher.plugins.base import Plugin


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
