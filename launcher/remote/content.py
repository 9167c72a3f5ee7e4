"""What is sent to a cluster, named by its content: files by their sha256, and folders by a digest of their files.

The code of a launch is such folders: the launcher, the working folder, and other folders on the import path.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from launcher import environment
from launcher.errors import ConfigError
from launcher.launching.freeze.freeze import tell_left_out
from launcher.launching.freeze.git import Git, GitState
from launcher.launching.freeze.keep import keep
from launcher.launching.freeze.look import MOST_FILES, look
from launcher.launching.freeze.roots import sources
from launcher.launching.secrets import conceal, secrets_of
from launcher.reading import object_in
from launcher.run import write_text
from launcher.run.record import is_kind

_PIECE = 1 << 20


def cache_here() -> Path:
    """The cache of this machine, because the key cache_dir names the cache of the cluster."""
    given = os.environ.get(environment.XDG_CACHE_HOME)
    return (Path(given) if given else Path.home() / ".cache") / "launcher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A file of this machine."""

    path: Path
    sha: str
    size: int
    """Size in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A folder on the cluster, below sent/."""

    name: str
    """code/HASH or data/HASH."""
    files: Mapping[str, Blob] = field(default_factory=dict[str, Blob])
    """Path in the folder -> file."""
    archive: Blob | None = None
    """A tar archive that is unpacked on the cluster."""

    @property
    def blobs(self) -> list[Blob]:
        """All files from which it is made."""
        return [*self.files.values(), *([self.archive] if self.archive else [])]


class Hashes:
    """The sha256 of files, cached as long as size, modification time and inode stay the same."""

    def __init__(self, cache: Path) -> None:
        self._file = cache / "ssh_hashes.json"
        found = object_in(self._file)
        kind = Mapping[str, Sequence[int | str]]
        self._known: dict[str, Sequence[int | str]] = found if found and is_kind(found, kind) else {}
        self._new = False

    def blob(self, path: Path) -> Blob:
        """The file; ConfigError if it cannot be read."""
        try:
            status = path.stat()
            state = [status.st_size, status.st_mtime_ns, status.st_ino]
            known = self._known.get(str(path))
            if known and list(known[:-1]) == state:
                return Blob(path=path, sha=str(known[-1]), size=status.st_size)
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read ({error.strerror}), so it cannot be sent to the cluster"
            ) from None
        self._known[str(path)] = [*state, digest.hexdigest()]
        self._new = True
        return Blob(path=path, sha=digest.hexdigest(), size=status.st_size)

    def save(self) -> None:
        """Keeps what was computed; files that are gone are forgotten."""
        if not self._new:
            return
        kept = {path: state for path, state in self._known.items() if Path(path).exists()}
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._file, json.dumps(kept))


def code_tree(archive: Path, hashes: Hashes) -> Tree:
    """The folder that an archive of code becomes."""
    return Tree(name=f"code/{archive.stem}", archive=hashes.blob(archive))


def data_tree(files: Mapping[str, Path], hashes: Hashes) -> Tree:
    """The folder of data files or of a model; `files` maps paths in it to files."""
    blobs = {name: hashes.blob(path) for name, path in sorted(files.items())}
    content = json.dumps([(name, blob.sha) for name, blob in blobs.items()]).encode()
    return Tree(name=f"data/{hashlib.sha256(content).hexdigest()[:40]}", files=blobs)


def missing(trees: Sequence[Tree], have: Mapping[str, int], made: Sequence[str]) -> dict[Blob, int]:
    """The files to send, with the bytes of each that have already arrived; without those of folders that are already there."""
    wanted = {blob.sha: blob for tree in trees if tree.name not in made for blob in tree.blobs}
    return {blob: min(have.get(sha, 0), blob.size) for sha, blob in wanted.items() if have.get(sha, 0) >= 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFolders:
    """The folders of code, with the files that freeze would keep."""

    imports: tuple[Tree, ...]
    """The folders in the order of the import path."""
    work: Tree
    """The working folder, which is one of `imports`."""
    work_files: frozenset[str]
    """Paths of files in the working folder."""
    git: GitState
    """The commit of the working folder and what differs from it, without the values of secrets."""
    config: Tree | None
    """The folder of --config-dir; None if there is none."""
    config_below: str = ""
    """Path of --config-dir in the working folder, if it is inside of it."""

    def place(self, file: Path) -> str | None:
        """The path of a file in the copy of the working folder; None if the copy does not have the file."""
        with suppress(ValueError):
            below = str(file.absolute().relative_to(Path.cwd()))
            return below if below in self.work_files else None
        return None

    @property
    def trees(self) -> list[Tree]:
        """All folders."""
        return [*self.imports, *([self.config] if self.config else [])]


def gather_code(
    work_dir: Path, config_dir: str | None, skipped: tuple[Path, ...], cache: Path, hashes: Hashes
) -> CodeFolders:
    """The code of a launch that is typed in `work_dir`; ConfigError for a folder that is too large for a folder of code."""
    git, secrets = Git(work_dir), secrets_of(os.environ)
    imports: list[Tree] = []
    work = config = None
    files: frozenset[str] = frozenset()
    for source in sources(work_dir, config_dir):
        ignored = git.ignored() if source.kind == "work" else []
        seen = look(source.folder, source.only, skipped, ignored)
        if seen.too_large:
            raise ConfigError(
                f"cluster.ssh: {source.folder} holds more than {MOST_FILES:,} files or 512 MiB of code, which would all be "
                "sent; launch from the folder of your project, or name its data folders in .gitignore"
            )
        kept = keep(source.folder, seen, cache / "code", secrets)
        if source.kind in ("work", "path"):
            tell_left_out(source.folder, {**seen.left_out, **kept.left_out})
        tree = code_tree(kept.archive, hashes)
        if source.kind == "config":
            config = tree
            continue
        imports.append(tree)
        if source.kind == "work":
            work = tree
            files = frozenset(os.fsdecode(path) for path, *_ in seen.files)
    assert work is not None
    below = ""
    if config_dir and config is None:  # --config-dir is inside of the working folder
        config, below = work, str(Path(config_dir).resolve().relative_to(work_dir.resolve()))
    state = git.state()
    return CodeFolders(
        imports=tuple(imports),
        work=work,
        work_files=files,
        git=replace(state, diff=conceal(state.diff, secrets)),
        config=config,
        config_below=below,
    )
