"""Hydra's source of the shipped files of configuration, without the resolution of their paths.

Hydra 1.3 resolves the path of a file at each look at it, with an `lstat` for each folder above the file: 200 calls in a launch,
and on a shared file system each asks a server. The folder of this installation is resolved already.
"""

import os

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin

from launcher.launching.yaml_text import load
from launcher.resources import resource_dir

_SCHEME, _FOLDER = "shipped", "file"
_HEADER = 512
"""Characters at the start of a file in which Hydra looks for its directives, such as @package."""


def use_shipped_source() -> None:
    """Makes Hydra read the shipped files through ShippedSource in this process."""
    for plugin in (ShippedSource, _ShippedInSearchPath):
        Plugins.instance().register(plugin)


def is_folder(scheme: str) -> bool:
    """Whether the path of a source with that scheme is a folder of files."""
    return scheme in (_SCHEME, _FOLDER)


def is_own(scheme: str) -> bool:
    """Whether the path of a source with that scheme is a folder of the user's files."""
    return scheme == _FOLDER


class ShippedSource(FileConfigSource):
    """The same as Hydra's source of a folder, for a path without links."""

    @staticmethod
    def scheme() -> str:
        """What its path begins with in a search path."""
        return _SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        """The file of that name; ConfigLoadError if there is none."""
        path = self._below(self._normalize_file_name(config_path))
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a Path for each costs time
                header = self._get_header_dict(file.read(_HEADER))
                file.seek(0)
                config = load(file)
        except FileNotFoundError:
            raise ConfigLoadError(f"Config not found : {path}") from None
        return ConfigResult(config=config, path=self.full_path(), provider=self.provider, header=header)

    def is_group(self, config_path: str) -> bool:
        """Whether it is a folder."""
        return os.path.isdir(self._below(config_path))  # noqa: PTH112

    def is_config(self, config_path: str) -> bool:
        """Whether it is a file."""
        return os.path.isfile(self._below(self._normalize_file_name(config_path)))  # noqa: PTH113

    def _below(self, path: str) -> str:
        return os.path.join(self.path, path)  # noqa: PTH118


class _ShippedInSearchPath(SearchPathPlugin):
    """Replaces Hydra's own source by ShippedSource for the shipped files."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Changes the scheme of their entry."""
        shipped = str(resource_dir("conf"))
        for one in search_path.get_path():
            if one.path in (shipped, f"{_FOLDER}://{shipped}"):
                one.path = f"{_SCHEME}://{shipped}"
