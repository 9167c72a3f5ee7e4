"""Finds the variants of one kind (methods, strategies, clusters, trackers, formats) by name, here and in other packages."""

import functools
import importlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from launcher.errors import ConfigError, unknown

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Registry(Generic[T]):
    """All variants of one kind. A variant is imported only when it is used.

    A variant of this project is the module of that name in `package`. A variant of another distribution is an entry point of
    that name in `group`, which points to a module or to the spec itself. A module holds its spec under the name `SPEC`.
    Source: importlib.metadata's manual page, "Entry points".
    """

    kind: str
    """Its name in messages, such as `training method`."""
    key: str
    """The configuration key that names it, such as `trainer.kind`."""
    package: str
    group: str
    spec: type[T]
    """The class of every spec."""
    skipped: frozenset[str] = frozenset({"base", "registry"})
    """Modules of the package that are not variants."""

    def own_names(self) -> tuple[str, ...]:
        """Sorted names of the variants that this project ships; none of them is imported."""
        modules = _modules_of(self.package)
        return tuple(name for name in modules if name not in self.skipped and not name.startswith("_"))

    def names(self) -> tuple[str, ...]:
        """Names of all variants, the shipped ones first. It reads the entry points of all installed distributions."""
        own = self.own_names()
        return own + tuple(sorted(name for name in self._foreign() if name not in own))

    def foreign_names(self) -> tuple[str, ...]:
        """Sorted names of the variants of other distributions; none of them is imported."""
        return tuple(sorted(self._foreign()))

    def find(self, name: str) -> T:
        """The spec of that name; ConfigError if there is none, or if the object found is not a spec."""
        if (own := self._own_module(name)) is not None:
            return self._checked(name, own)
        found = self._foreign().get(name)
        if found is None:
            raise ConfigError(f"{self.key}={name}: {unknown(self.kind, name, self.names())}")
        try:
            loaded = found.load()
        except (
            Exception,
            SystemExit,
        ) as error:  # the module is another distribution's and may raise anything
            reason = str(error) if isinstance(error, (ImportError, AttributeError)) else repr(error)
            raise ConfigError(
                f"{self.key}={name}: the {self.kind} of entry point {found.value} cannot be imported ({reason}); "
                f"install its package{_distribution(found)} again, uninstall it, or choose another"
            ) from None
        return self._checked(name, loaded)

    def own(self) -> tuple[T, ...]:
        """The specs of the variants that this project ships, in the order of their names."""
        return tuple(self.find(name) for name in self.own_names())

    def all(self) -> tuple[T, ...]:
        """The specs of all variants, in the order of `names`."""
        return tuple(self.find(name) for name in self.names())

    def _own_module(self, name: str) -> ModuleType | None:
        """The module of a shipped variant; None if there is none of that name. The folder need not be listed for it."""
        if name in self.skipped or name.startswith("_") or not name.isidentifier():
            return None
        module = f"{self.package}.{name}"
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            return None

    def _foreign(self) -> dict[str, Any]:
        return _entry_points_of(self.group, tuple(sys.path))

    def _checked(self, name: str, loaded: Any) -> T:
        spec = loaded if isinstance(loaded, self.spec) else getattr(loaded, "SPEC", None)
        if not isinstance(spec, self.spec):
            raise ConfigError(
                f"{self.key}={name}: {getattr(loaded, '__name__', loaded)} has no {self.spec.__name__} named SPEC; add one"
            )
        return spec


@functools.cache
def _modules_of(package: str) -> tuple[str, ...]:
    """Sorted names of a package's modules. Its folder is read once, so that a plan does not read it again."""
    folders = importlib.import_module(package).__path__
    with os.scandir(folders[0]) as found:  # pkgutil would list each folder in it too
        entries = [
            one for one in found if one.name.endswith(".py") or (one.is_dir() and one.name.isidentifier())
        ]
    names = {one.name.removesuffix(".py") for one in entries}
    return tuple(sorted(name for name in names if not name.startswith("__")))


@functools.lru_cache(maxsize=64)
def _entry_points_of(group: str, path: tuple[str, ...]) -> dict[str, Any]:
    """The entry points of a group by name, read once per search path; `path` is sys.path."""
    if not _may_name(group, path):
        return {}
    from importlib.metadata import entry_points  # its import takes longer than all the rest of a registry

    return {point.name: point for point in entry_points(group=group)}


def _distribution(point: Any) -> str:
    """The name of the distribution of an entry point, with a space before it; empty if it has none."""
    name = point.dist.name if point.dist else None
    return f" {name}" if name else ""


def has_other_finder() -> bool:
    """Whether something other than Python's own search of folders can find distributions."""
    return any(hasattr(finder, "find_distributions") and finder is not PathFinder for finder in sys.meta_path)


def entry_point_places(path: tuple[str, ...]) -> list[str] | None:
    """The folders and files whose modification time changes when the entry points of a search path may have changed; None if a
    part of the path is a file such as a zip.

    An installer makes a new `.dist-info`, and overwrites the files of an `.egg-info`. A folder without either is left out,
    because it changes whenever a run or a file is made in it; `holds_no_distribution` says whether that is still so.
    """
    places: list[str] = []
    for folder in path:
        try:
            infos = _infos(folder)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        eggs = [name for name in infos if name.lower().endswith("egg-info")]
        places += [folder] if infos else []
        places += [str(Path(folder, egg, "entry_points.txt")) for egg in eggs]
    return places


def holds_no_distribution(folder: str) -> bool:
    """Whether no distribution is installed in a folder of the search path, or the folder does not exist."""
    try:
        return not _infos(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _infos(folder: str) -> list[str]:
    """Names of the metadata of the distributions in a folder."""
    names = os.listdir(folder)  # noqa: PTH208 - a Path for each of hundreds of names costs time
    return [name for name in names if name.lower().endswith((".dist-info", "egg-info"))]


def _may_name(group: str, path: tuple[str, ...]) -> bool:
    """Whether a distribution may have entry points in the group; False: it has none. It does not use importlib.metadata.

    Source: the packaging guide, "Entry points specification", and importlib.metadata's FastPath and Lookup.
    """
    if has_other_finder():
        return True
    texts = _entry_point_texts(path)
    return texts is None or any(group in text for text in texts)


@functools.lru_cache(maxsize=8)
def _entry_point_texts(path: tuple[str, ...]) -> tuple[str, ...] | None:
    """The text of every entry_points.txt in the search path; None if a part of the path is a file such as a zip."""
    texts: list[str] = []
    for folder in map(Path, path):
        try:
            infos = [one for one in folder.iterdir() if one.name.lower().endswith((".dist-info", "egg-info"))]
        except FileNotFoundError:
            continue
        except OSError:
            return None
        for info in infos:
            with suppress(OSError):  # most distributions have none
                texts.append((info / "entry_points.txt").read_text(encoding="utf-8", errors="replace"))
    return tuple(texts)
