"""Replaces this process by a command of the launcher that runs with the kept code of a run."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from launcher import environment
from launcher.errors import RunError
from launcher.launching.freeze.keep import keep
from launcher.launching.freeze.look import look
from launcher.launching.freeze.unpack import unpack
from launcher.launching.secrets import secrets_of
from launcher.run import RunDir
from launcher.run.code import Code

# The folder of the command must not be searched for modules: what is there now can be newer than the kept code.
_ENTER = (
    "import os, sys; sys.path[:] = [path for path in sys.path if path]; os.chdir(sys.argv.pop(1)); "
    "from launcher.__main__ import run_once; sys.exit(run_once())"
)


def is_entered() -> bool:
    """Whether this process runs with the kept code of a run."""
    return environment.CODE_OF in os.environ


def has_changed(code: Code) -> bool:
    """Whether a folder of the run's code differs now from what was kept."""
    skipped, secrets = [Path(path) for path in code.skipped], secrets_of(os.environ)
    for root in code.roots:
        if not root.archive:
            continue
        source = Path(root.source)
        if not source.is_dir():
            return True
        seen = look(source, root.only, skipped, [os.fsencode(path) for path in root.ignored])
        if seen.too_large or str(keep(source, seen, Path(root.folder).parent, secrets).folder) != root.folder:
            return True
    return False


def command_with(run: RunDir, code: Code, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The argv and the environment of a command of the launcher that runs with the run's code, in the folder of its launch;
    RunError if the code cannot be unpacked, or the folder is gone."""
    work_dir = run.launched_in()
    if not Path(work_dir).is_dir():
        raise RunError(f"{work_dir}, where {run.name} was launched, is no longer a folder; create it again")
    for root in code.roots:
        if root.archive:
            unpack(root.folder, root.archive)
    path = os.pathsep.join([*code.folders, *filter(None, [os.environ.get("PYTHONPATH")])])
    program = next((root.source for root in code.roots if root.kind == "program"), work_dir)
    environ = {
        **os.environ,
        environment.PYTHONPATH: path,
        environment.CODE_OF: str(run.path),
        environment.SHIPPED: shipped_in(program),
    }
    return [sys.executable, "-c", _ENTER, work_dir, *words], environ


def shipped_in(program: str) -> str:
    """The folder of the shipped data in an installation of the launcher; the shipped files that a plan names are below it."""
    inside = Path(program, "launcher", "conf")
    return str(inside if inside.is_dir() else Path(program, "conf"))


def enter(run: RunDir, code: Code, words: Sequence[str]) -> None:
    """Becomes that command; does not return."""
    argv, environ = command_with(run, code, words)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(argv[0], argv, environ)
