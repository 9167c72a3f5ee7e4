"""Freezes the code of a launch: decides what is kept before anything is written, and says what is left out."""

import dataclasses
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from launcher import __version__, environment
from launcher.clusters.registry import find_cluster
from launcher.config import Config, ContainerRuntime
from launcher.errors import ConfigError
from launcher.frozen_dataclass import frozen_dataclass
from launcher.launching.freeze.git import Git, GitState
from launcher.launching.freeze.keep import copy, keep
from launcher.launching.freeze.look import MOST_FILES, look, own_entries
from launcher.launching.freeze.roots import KeptFolder, packages, sources
from launcher.launching.kept import states
from launcher.launching.secrets import conceal, secrets_of
from launcher.output import say, warn
from launcher.plan import LaunchPlan
from launcher.reading import read_json
from launcher.run import RunDir
from launcher.run.code import Code, Root, read_code, write_code

_NAMED = 3
"""How many files a message names at most."""
_GIT_STATE = os.environ.pop(environment.GIT_STATE, None)
"""Taken out of the environment, which jobs inherit."""


@frozen_dataclass
class Frozen:
    """The code of a run that is about to be launched, with its archives still in the cache."""

    code: Code
    archives: Mapping[str, Path]
    """Folder of the copy -> archive in the cache."""
    diff: str = ""

    def of(self, run: RunDir) -> Code:
        """The record with its archives in that run dir."""
        roots = tuple(
            dataclasses.replace(root, archive=str(run.code_archives / f"{Path(root.folder).name}.tar"))
            if root.folder in self.archives
            else root
            for root in self.code.roots
        )
        return dataclasses.replace(self.code, roots=roots)

    def write(self, run: RunDir) -> None:
        """Writes code.json, code.diff and the archives into the run dir."""
        code = self.of(run)
        for root in code.roots:
            if root.archive:
                copy(self.archives[root.folder], Path(root.archive))
        if self.diff:
            run.code_diff.write_text(self.diff, errors="replace")
        write_code(run.code, code)


def wants_freeze(config: Config, plan: LaunchPlan) -> bool:
    """Whether the code of the run is kept: as freeze says, else if the run waits in a queue."""
    return find_cluster(plan.cluster).queued if config.freeze is None else config.freeze


def with_code(plan: LaunchPlan, code: Code | None) -> LaunchPlan:
    """The plan of a run that imports this code; with None, it imports what is in the working folder."""
    folders = code.folders if code else {}
    return dataclasses.replace(plan, facts=dataclasses.replace(plan.facts, code=folders))


def freeze(config: Config, plan: LaunchPlan, config_dir: str | None) -> Frozen | None:
    """The code of the run, kept in the cache; None if it is not to be kept. Messages say what is left out."""
    earlier = os.environ.get(environment.CODE_OF)
    if earlier and config.freeze is not False:
        return _same_again(RunDir(Path(earlier)), plan)
    if not wants_freeze(config, plan):
        return None
    if shutil.which("tar") is None:
        if config.freeze:
            raise ConfigError(
                "freeze=true needs the program tar, which is not on PATH; install it, or set freeze=false"
            )
        warn(
            "the program tar is not on PATH, so the code of this run is not kept: change no code while it is queued"
        )
        return None
    work_dir, cache = Path(plan.facts.work_dir), Path(config.cache_dir).absolute() / "code"
    skipped = (Path(config.runs_dir).absolute(), Path(config.cache_dir).absolute())
    git, secrets = Git(work_dir), secrets_of(os.environ)
    roots: list[Root] = []
    archives: dict[str, Path] = {}
    for source in sources(work_dir, config_dir):
        root = _keep(source, skipped, git, cache, secrets, archives)
        roots += [root] if root.folder not in {known.folder for known in roots} else []
    state = _sent_state() or git.state()
    bare = config.cluster.python is None and config.cluster.container.runtime is ContainerRuntime.none
    code = Code(
        roots=tuple(roots),
        commit=state.commit,
        changed=state.changed,
        launcher=__version__,
        python=f"{platform.python_version()} {sys.executable}" if bare else plan.python,
        packages=packages() if bare else {},
        data=_data(plan),
        skipped=tuple(map(str, skipped)),
    )
    _tell_of_fork(plan, code, archives)
    return Frozen(code=code, archives=archives, diff=conceal(state.diff, secrets))


def _sent_state() -> GitState | None:
    """The state of the folder on the machine on which the command was typed, if that is another one: its copy here is not a
    repository."""
    if _GIT_STATE is None:
        return None
    values = read_json(Path(_GIT_STATE))
    return GitState(commit=values["commit"], changed=tuple(values["changed"]), diff=values["diff"])


def _keep(
    source: KeptFolder,
    skipped: tuple[Path, ...],
    git: Git,
    cache: Path,
    secrets: Mapping[str, str],
    archives: dict[str, Path],
) -> Root:
    """The root of a folder; its archive is added to `archives`. A folder that is too large is not kept."""
    folder = source.folder
    ignored = git.ignored() if source.kind == "work" else []
    listed = own_entries if source.kind == "program" else None
    seen = look(folder, source.only, skipped, ignored, listed=listed)
    if seen.too_large:
        warn(
            f"freeze: {folder} holds more than {MOST_FILES:,} files or 512 MiB of code, so its code is not kept and must not "
            "change while this run is queued; launch from the folder of your project, or name its data folders in .gitignore"
        )
        return Root(kind=source.kind, source=str(folder), folder=str(folder), archive="")
    kept = keep(folder, seen, cache, secrets)
    if source.kind in ("work", "path"):
        tell_left_out(folder, {**seen.left_out, **kept.left_out})
    archives[str(kept.folder)] = kept.archive
    return Root(
        kind=source.kind,
        source=str(folder),
        folder=str(kept.folder),
        archive=str(kept.archive),
        only=source.only,
        ignored=tuple(os.fsdecode(path) for path in ignored),
        files=kept.files,
        bytes=kept.bytes,
    )


def tell_left_out(folder: Path, left_out: Mapping[str, list[str]]) -> None:
    """Says which files of a folder are not kept."""
    parts = [
        f"{reason} ({len(paths)}: {', '.join(paths[:_NAMED])}{', ...' if len(paths) > _NAMED else ''})"
        for reason, paths in left_out.items()
    ]
    if parts:
        say(f"freeze: the code in {folder} is kept without {'; '.join(parts)}")


def _data(plan: LaunchPlan) -> dict[str, str]:
    return states([path for path in plan.facts.all_data if not path.startswith("hub:")])


def _same_again(earlier: RunDir, plan: LaunchPlan) -> Frozen | None:
    """The code of another run, from which this process was started (`reproduce`, `resume`)."""
    code = read_code(earlier.code)
    if code is None:
        return None
    archives = {root.folder: Path(root.archive) for root in code.roots if root.archive}
    present = dataclasses.replace(
        code, packages=packages() if code.packages else {}, data=_data(plan), reproduces=earlier.name
    )
    diff = earlier.code_diff.read_text() if earlier.code_diff.is_file() else ""
    return Frozen(code=present, archives=archives, diff=diff)


def _tell_of_fork(plan: LaunchPlan, code: Code, archives: Mapping[str, Path]) -> None:
    """Says if the run that this one continues was trained with other code."""
    if plan.facts.resume in ("auto", "never"):
        return
    from_dir = Path(plan.facts.resume)
    earlier = next(
        (RunDir(path) for path in (from_dir, *from_dir.parents[:2]) if (path / "plan.json").is_file()), None
    )
    old = read_code(earlier.code) if earlier else None
    if old is None or earlier is None:
        return
    from launcher.launching.freeze.differ import code_differences

    for line in code_differences(old, code, archives):
        say(f"resume={earlier.name} was trained with other code: {line}")
