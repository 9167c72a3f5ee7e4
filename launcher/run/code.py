"""The code of a run as it was at its launch: code.json, which names the archives in the run dir and what they hold."""

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path, PurePath
from typing import Any

from launcher.errors import RunError
from launcher.frozen_dataclass import frozen_dataclass
from launcher.reading import read_json
from launcher.run.lines import write_text


@frozen_dataclass
class Root:
    """A folder of code."""

    kind: str
    """program (the launcher), work (the folder in which the command was typed), path (another folder of imports) or config
    (--config-dir)."""
    source: str
    """The folder that was copied."""
    folder: str
    """The copy from which the job imports, in the cache; `source` itself if it could not be kept."""
    archive: str
    """Its files as one archive in the run dir; empty if it could not be kept."""
    only: tuple[str, ...] = ()
    """Names in the folder that were kept; empty: all that is code."""
    ignored: tuple[str, ...] = ()
    """Folders in it that git ignores."""
    files: int = 0
    bytes: int = 0


@frozen_dataclass
class Code:
    """What a run was started with, besides its configuration."""

    roots: tuple[Root, ...]
    """The folders in the order of the import path."""
    commit: str | None = None
    """The git commit of the folder in which the command was typed; null without one."""
    changed: tuple[str, ...] = ()
    """Files that differed from that commit."""
    launcher: str = ""
    """Version of the launcher."""
    python: str = ""
    """Version of Python, with the path of the interpreter."""
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    """Version of each installed package."""
    data: Mapping[str, str] = field(default_factory=dict[str, str])
    """Data file -> a value that changes when its content does."""
    skipped: tuple[str, ...] = ()
    """Folders that hold no code: those of runs, and of the cache."""
    reproduces: str | None = None
    """The run that this one starts again."""

    @property
    def folders(self) -> dict[str, str]:
        """Folder of the copy -> archive, as the plan has them."""
        return {root.folder: root.archive for root in self.roots}

    def place(self, path: str) -> str:
        """Where the copy of a file or folder is; the path itself if it is outside of what was kept."""
        for root in self.roots:
            if root.archive and PurePath(path).is_relative_to(root.source):
                return str(PurePath(root.folder, PurePath(path).relative_to(root.source)))
        return path


def write_code(path: Path, code: Code) -> None:
    """Writes code.json."""
    write_text(path, json.dumps(asdict(code), indent=2) + "\n")  # as ASCII, since a name may not be UTF-8


def read_code(path: Path) -> Code | None:
    """The record; None if the run's code was not kept. RunError if the file is not a record."""
    try:
        values: dict[str, Any] = read_json(path)
        roots = tuple(_root(root) for root in values.pop("roots"))
        changed, skipped = tuple(values.pop("changed")), tuple(values.pop("skipped"))
        code = Code(roots=roots, changed=changed, skipped=skipped, **values)
        _check_types(code)
        return code
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError, RunError) as error:
        raise RunError(
            f"{path} is not the record of a run's code ({error}); was it edited? With freeze=false a resume does not need it"
        ) from None


def _root(values: dict[str, Any]) -> Root:
    only, ignored = tuple(values.pop("only")), tuple(values.pop("ignored"))
    return Root(only=only, ignored=ignored, **values)


def _check_types(code: Code) -> None:
    """TypeError for values that no launch writes."""
    objects: list[Any] = [code.packages, code.data]
    if wrong := [one for one in objects if not isinstance(one, dict)]:
        raise TypeError(f"{wrong[0]!r} is not an object")
    texts: list[Any] = [*code.changed, *code.skipped, code.launcher, code.python, *code.packages, *code.data]
    for root in code.roots:
        texts += [root.kind, root.source, root.folder, root.archive, *root.only, *root.ignored]
    texts += [one for one in (code.commit, code.reproduces) if one is not None]
    if wrong := [one for one in texts if not isinstance(one, str)]:
        raise TypeError(f"{wrong[0]!r} is not a text")
