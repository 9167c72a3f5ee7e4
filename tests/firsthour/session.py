"""A shell in an empty folder and an empty home, in which the commands of a page are typed one after the other."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.paths import ROOT

_MARK = "@@ typed"


def run_all(
    commands: Sequence[str], folder: Path, environment: Mapping[str, str], inside: Sequence[str] = ()
) -> list[tuple[int, str]]:
    """Exit code and output of each command. All run in one shell, so that each finds what the ones before it left.

    `inside`: the words that start the shell on another machine.
    """
    work, home, programs = (folder / name for name in ("work", "home", "bin"))
    for path in (work, home, programs):
        path.mkdir()
    _program(programs / "python", f'exec {sys.executable} "$@"')
    start = "import sys; from launcher.__main__ import script; sys.exit(script())"
    _program(programs / "launcher", f'exec {sys.executable} -c "{start}" "$@"')
    lines = [f"{command}\nprintf '\\n{_MARK} %s\\n' $?" for command in commands]
    done = subprocess.run(
        [*inside, "/bin/bash", "--noprofile", "--norc"],
        input="exec 2>&1\n" + "\n".join(lines) + "\n",
        cwd=work,
        env={
            "PATH": f"{programs}:/usr/bin:/bin:/usr/sbin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            **environment,
        },
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
    )
    found: list[tuple[int, str]] = []
    output: list[str] = []
    for line in done.stdout.splitlines():
        if line.startswith(_MARK):
            found.append((int(line.removeprefix(_MARK)), "\n".join(output)))
            output = []
        else:
            output.append(line)
    assert len(found) == len(commands), done.stdout[-2000:]
    return found


def _program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
