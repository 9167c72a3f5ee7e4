"""A copy of this project's tree in which a test makes a change, and the modules that the change touched."""

import fnmatch
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT
from tests.support.runs import command, environment

FOLDERS = ("launcher", "conf", "slurm", "hydra_plugins")
"""What an installation consists of."""


class Tree:
    """The copy, below `folder`, and a working directory beside it in which commands are typed."""

    def __init__(self, folder: Path) -> None:
        self.root, self.work = folder / "tree", folder / "work"
        self.work.mkdir()
        for name in FOLDERS:
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))

    def add(self, path: str, text: str) -> None:
        """A new file of that text."""
        file = self.root / path
        assert not file.exists(), f"{path} exists already; the change needs another name"
        file.write_text(text)

    def edit(self, path: str, before: str, after: str) -> None:
        """Replaces a part of a file, which must be there once."""
        file = self.root / path
        text = file.read_text()
        assert text.count(before) == 1, (
            f"{path} no longer has this text once, so write the change anew:\n{before}"
        )
        file.write_text(text.replace(before, after))

    def touched(self) -> list[str]:
        """Files of launcher/ that were added, changed or removed, by comparison with the checkout."""
        ours, theirs = (_contents(root / "launcher") for root in (self.root, ROOT))
        return sorted(f"launcher/{name}" for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))

    def environment(self, **more: str) -> dict[str, str]:
        """An environment in which Python imports the copy."""
        return environment(
            **{**more, "PYTHONPATH": ":".join([str(self.root), *filter(None, [more.get("PYTHONPATH")])])}
        )

    def call(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """The launcher of the copy."""
        return self.run(*command(*arguments), **more)

    def read(self, *arguments: str, **more: str) -> Any:
        """What the command prints as JSON; it must succeed."""
        done = self.call(*arguments, **more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refusal(self, *arguments: str) -> str:
        """The one line in which the command is refused."""
        done = self.call(*arguments)
        assert done.returncode == 1, done.stdout
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Any program, which imports the copy."""
        return subprocess.run(
            words, cwd=self.work, env=self.environment(**more), capture_output=True, text=True, timeout=120
        )


def _contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


@dataclass(frozen=True)
class Row:
    """What CONTRIBUTING.md says of one change."""

    modules: tuple[str, ...]
    """Paths below launcher/, in the order in which to write them; NAME stands for the name of what is added."""
    test: str
    count: int

    def lists(self, path: str) -> bool:
        """Whether the row names this file."""
        return any(fnmatch.fnmatch(path, one.replace("NAME", "*")) for one in self.modules)


def contributing_rows() -> dict[str, Row]:
    """The table `Where do I change ...` of CONTRIBUTING.md, by its first column."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows: dict[str, Row] = {}
    for line in text.partition("| to add | ")[2].partition("\n\n")[0].splitlines()[2:]:
        what, modules, _, test, count = (cell.strip() for cell in line.split("|")[1:-1])
        rows[what] = Row(tuple(re.findall(r"`(launcher/[^`]+)`", modules)), test.strip("`"), int(count))
    return rows


def check_count(what: str, tree: Tree) -> None:
    """Compares the files that the change touched with its row in CONTRIBUTING.md."""
    row, touched = contributing_rows()[what], tree.touched()
    assert len(touched) == row.count, f"CONTRIBUTING.md says {row.count} modules, and it took {touched}"
    assert [path for path in touched if not row.lists(path)] == []
