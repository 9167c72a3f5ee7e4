"""What git says of a folder: its commit, what differs from it, and the folders that it ignores."""

import os
import re
import subprocess
from pathlib import Path

from launcher.frozen_dataclass import frozen_dataclass
from launcher.launching.freeze.look import has_secret_name
from launcher.output import warn

_ANSWER_S = 10.0
"""Seconds to wait for the output of one command of git."""
_LARGEST_DIFF = 4 << 20
_MOST_IN_DIFF = 1_000
"""How many changed files have their difference kept at most."""


# Source: git-status(1), "Porcelain Format Version 2"; with -z, paths are below the top of the repository.
_STATUS = (
    "status",
    "--porcelain=v2",
    "--branch",
    "-z",
    "--untracked-files=normal",
    "--ignored=traditional",
    "--no-renames",
)
_PATCH = ("--patch", "--no-color", "--no-ext-diff", "--no-textconv")
_DIFF, _DIFF_OF_UNSTAGED = ("diff", *_PATCH, "HEAD", "--"), ("diff-files", *_PATCH, "--")
"""The difference from the commit, and the difference from the index. If nothing is staged they are equal, and the second is
faster: git reads no trees for it."""
_SUBMODULE = re.compile(r"^\s*path\s*=\s*(.+?)\s*$", re.MULTILINE)
"""A line of .gitmodules. Source: gitmodules(5)."""


@frozen_dataclass
class GitState:
    """The state of a working folder."""

    commit: str | None = None
    """None without git, outside of a repository, and before its first commit."""
    changed: tuple[str, ...] = ()
    """Tracked files that differ from the commit, and untracked ones that are not ignored, below the folder."""
    diff: str = ""
    """The difference of the tracked files; cut after 4 MiB."""


def _is_secret(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/")) or has_secret_name(
        path.rpartition("/")[2].lower()
    )


class Git:
    """What git says of one folder. Its commands are started at once, and their output is read when it is needed."""

    def __init__(self, folder: Path, answer_s: float = _ANSWER_S) -> None:
        self.folder = folder
        self._answer_s = answer_s
        top = next((one for one in (folder, *folder.parents) if (one / ".git").exists()), None)
        self._top = top or folder
        self._asked = self._ask(*_STATUS, "--", ".") if top else None
        self._lines: list[bytes] | None = None
        self._parts = {path: Git(folder / path, answer_s) for path in self._submodules()} if top else {}

    def ignored(self) -> list[bytes]:
        """Folders below this one that git ignores, in its submodules too."""
        here = self._prefix()
        found = [line[2:] for line in self._status() if line.startswith(b"! ") and line.endswith(b"/")]
        own = [path[len(here) :] for path in found if path.startswith(here)]
        return own + [
            os.fsencode(f"{path}/") + one for path, part in self._parts.items() for one in part.ignored()
        ]

    def state(self) -> GitState:
        """The commit and what differs."""
        commit, changed, tracked, staged = None, list[str](), list[str](), False
        for line in self._status():
            kind, _, rest = line.partition(b" ")
            if line.startswith(b"# branch.oid ") and not line.endswith(b"(initial)"):
                commit = line.split()[-1].decode()
            elif kind in (b"1", b"u"):
                tracked.append(os.fsdecode(rest.split(b" ", 7 if kind == b"1" else 9)[-1]))
                staged = staged or kind == b"u" or not rest.startswith(b".")
            elif kind == b"?":
                changed.append(os.fsdecode(rest))
        # Only the changed files are named, since git would look at every other file once more.
        shown = [f":(top,literal){path}" for path in tracked if not _is_secret(path)][:_MOST_IN_DIFF]
        asked = _DIFF if staged else _DIFF_OF_UNSTAGED
        diff = self._answer(self._ask(*asked, *shown)) if commit and shown else b""
        text = diff[:_LARGEST_DIFF].decode(errors="replace")
        here = os.fsdecode(self._prefix())
        for path, part in self._parts.items():
            state = part.state()
            changed += [f"{here}{path}/{one}" for one in state.changed]
            text += f"# in {path}, at commit {state.commit}:\n{state.diff}" if state.diff else ""
        return GitState(commit=commit, changed=(*tracked, *changed), diff=text)

    def _submodules(self) -> list[str]:
        """The submodules below this folder that are checked out, by their paths from it. git's own status says only whether
        something in one has changed."""
        here = os.fsdecode(self._prefix())
        try:
            listed = _SUBMODULE.findall((self._top / ".gitmodules").read_text(errors="surrogateescape"))
        except OSError:
            return []
        below = [path.removeprefix(here) for path in listed if path.startswith(here) and path != here]
        return [path for path in below if (self.folder / path / ".git").exists()]

    def _status(self) -> list[bytes]:
        if self._lines is None:
            self._lines = self._answer(self._asked).split(b"\0")
        return self._lines

    def _prefix(self) -> bytes:
        """The path of this folder from the top of the repository, with a slash at its end; empty for the top itself."""
        top = self._top
        return b"" if top == self.folder else os.fsencode(self.folder.relative_to(top)) + b"/"

    def _ask(self, *words: str) -> "subprocess.Popen[bytes] | None":
        try:
            return subprocess.Popen(
                ["git", "--no-optional-locks", "-C", str(self.folder), *words], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except OSError:  # git is not installed
            return None

    def _answer(self, process: "subprocess.Popen[bytes] | None") -> bytes:
        """What git printed; empty, after a warning, if it failed or did not answer in time."""
        if process is None:
            return b""
        try:
            out, errors = process.communicate(timeout=self._answer_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self._warn(f"did not answer within {self._answer_s:g} s")
            return b""
        if process.returncode:
            self._warn(f"failed ({errors.decode(errors='replace').strip().partition(chr(10))[0]})")
            return b""
        return out

    def _warn(self, why: str) -> None:
        warn(
            f"git {why} in {self.folder}, so the commit and the changes there are not recorded, and folders that .gitignore "
            "names count as others do; try git status there"
        )
