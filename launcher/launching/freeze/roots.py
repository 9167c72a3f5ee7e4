"""The folders from which a run imports code that is not an installed package, and the packages that are."""

import functools
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from launcher.frozen_dataclass import frozen_dataclass
from launcher.resources import PACKAGE, resource_dir

_INSTALLED = ("site-packages", "dist-packages")
_DISTRIBUTION = re.compile(r"(.+?)-(\d[^-]*)(?:-py[\d.]+)?\.(dist|egg)-info")


@frozen_dataclass
class KeptFolder:
    """A folder to keep."""

    kind: str
    """The same as in Root."""
    folder: Path
    only: tuple[str, ...] = ()
    """Names in it that are kept; empty: all that is code."""


def sources(work_dir: Path, config_dir: str | None) -> list[KeptFolder]:
    """The folders in the order of imports: the launcher, the working folder, other folders of the user's, --config-dir."""
    program, work = PACKAGE.parent, work_dir.resolve()
    found: list[KeptFolder] = []
    if program != work:
        parts = ("launcher", "hydra_plugins") if resource_dir("conf").parent == PACKAGE else (
            "launcher", "hydra_plugins", "conf", "slurm",
        )  # fmt: skip
        found.append(KeptFolder(kind="program", folder=program, only=parts))
    found.append(KeptFolder(kind="work", folder=work_dir))
    taken = {work, program}
    for folder in (*_search_path(), *_of_loaded_modules(taken)):
        if folder not in taken:
            taken.add(folder)
            found.append(KeptFolder(kind="path", folder=folder))
    if config_dir and not Path(config_dir).resolve().is_relative_to(work):
        found.append(KeptFolder(kind="config", folder=Path(config_dir)))
    return found


def _search_path() -> Iterator[Path]:
    """Folders of PYTHONPATH and of editable installations."""
    scripts = _folder_of_scripts()
    for entry in sys.path:
        if entry and entry != scripts and not _is_installed(entry) and Path(entry).is_dir():
            yield Path(entry).resolve()


def _folder_of_scripts() -> str | None:
    """The folder of the console script `launcher`: Python searches it first, and it has no modules."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return str(Path(main).resolve().parent) if main and not main.endswith(".py") else None


def _of_loaded_modules(taken: set[Path]) -> Iterator[Path]:
    """Folders of imported packages that a finder of an editable installation has found outside of the search path."""
    known = tuple(f"{folder}{os.sep}" for folder in taken)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." in name or name in ("__main__", "__mp_main__") or not isinstance(file, str):
            continue
        if file.startswith(known) or _is_installed(file):
            continue
        path = Path(file).resolve()
        folder = path.parent.parent if path.stem == "__init__" else path.parent
        if not _is_installed(str(folder)):
            yield folder


def _is_installed(path: str) -> bool:
    """Whether it belongs to Python or to an installed package. Paths are compared as text: a launch asks for hundreds."""
    return path.startswith(_standard()) or path.endswith(".zip") or any(name in path for name in _INSTALLED)


@functools.cache
def _standard() -> tuple[str, ...]:
    """The folders of Python's own modules."""
    libraries = [os.path.dirname(os.__file__), *(f"{prefix}/lib" for prefix in (sys.prefix, sys.base_prefix))]  # noqa: PTH120
    return tuple(f"{one}{end}" for one in libraries for end in (os.sep, "/python3"))


def packages() -> dict[str, str]:
    """Installed distribution -> version, by the names of their folders, which takes no import."""
    found: dict[str, str] = {}
    for entry in sys.path:
        try:
            names = os.listdir(entry or ".")  # noqa: PTH208 - a Path for each of hundreds of names costs time
        except OSError:
            continue
        for name in names:
            if match := _DISTRIBUTION.fullmatch(name):
                found.setdefault(match[1].replace("_", "-").lower(), match[2])
    return dict(sorted(found.items()))
