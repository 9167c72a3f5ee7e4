"""The code of a launch as folders on the cluster: the launcher, the working folder, and other folders on the import path."""

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from launcher.errors import ConfigError
from launcher.launching.freeze.freeze import tell_left_out
from launcher.launching.freeze.git import Git, GitState
from launcher.launching.freeze.keep import keep
from launcher.launching.freeze.look import MOST_FILES, look
from launcher.launching.freeze.roots import sources
from launcher.launching.secrets import conceal, secrets_of
from launcher.remote.content import Hashes, Tree, code_tree


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
                "sent; launch from your project's folder alone, or name its data folders in .gitignore"
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
