"""What a cluster that is reached by ssh answers, and the record of a run there."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from launcher.remote.launch import checked
from launcher.remote.talk import LOOKED, Talk
from launcher.remote.there import GREETING
from launcher.run.remote import REMOTE, RemoteRun, read_remote, write_remote
from tests.security.surfaces.base import Surface, as_json, as_lines, file_of, verb, with_file


def elsewhere(folder: Path) -> list[Surface]:
    """What a cluster that is reached by ssh answers, and the record of a run there; `ssh` is a program that prints a file."""
    run, asked = folder / "runs" / "name" / "date", folder / "asked"
    write_remote(
        run, RemoteRun(ssh="a@b", python="python3", base="/b", path=("/p",), run="name/date", run_dir="/b/r")
    )
    record = (run / REMOTE).read_bytes()
    listed = as_json({"files": [["plan.json", 3, 1], ["logs/a.log", 0, 1]]})
    digest, empty = (hashlib.sha256(content).hexdigest() for content in (b"abc", b""))
    given = (
        as_lines([{"name": "plan.json", "sha": digest}])
        + b"abc"
        + as_lines([{"name": "logs/a.log", "sha": empty}])
    )
    looked = as_json(
        {"base": "/b", "version": "3.11", "host": "n1", "absent": [], "old": False, "have": {"a": 1}, "trees": ["t"],
         "free": 1, "earlier": {"run": "name/date", "run_dir": "/b/r"}}
    )  # fmt: skip
    greeting = folder / "greeting"
    greeting.write_bytes(GREETING)
    program = folder / "ssh"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *ControlPersist*) exit 0;; esac\ncat {greeting}\n'
        f"if [ -e {asked} ]; then cat {folder}/given; else touch {asked}; cat {folder}/listed; fi\n"
    )
    program.chmod(0o755)

    def fetch() -> None:
        for path in (asked, run / "plan.json", run / "logs" / "a.log"):
            path.unlink(missing_ok=True)
        before = dict(os.environ)
        os.environ.update(PATH=f"{folder}:{before['PATH']}", XDG_RUNTIME_DIR=str(folder))
        try:
            verb("fetch", str(run))
        finally:
            os.environ.clear()
            os.environ.update(before)
        outside = [one for one in folder.iterdir() if one.name not in kept]
        assert not outside, f"{outside[0]} was written"

    def fetch_by(other: str, content: bytes) -> Callable[[], None]:
        def use() -> None:
            (folder / other).write_bytes(content)
            fetch()

        return use

    def launch(content: bytes) -> None:
        process: Any = None
        one = Talk(ssh="a@b", process=process, send=io.BytesIO(), receive=io.BytesIO(content))
        checked("a@b", "python3", one.answer(LOOKED))

    kept = {"runs", "asked", "greeting", "ssh", "given", "listed", "launcher-ssh"}
    return [
        Surface(name=REMOTE, good=record, suffix=".json", read=file_of(run / REMOTE, lambda: read_remote(run))),
        Surface(name="list of files on a cluster", good=listed + b"\n", suffix=".json", cost=20,
                read=file_of(folder / "listed", lambda: with_file(run / REMOTE, record, fetch_by("given", given)))),
        Surface(name="files from a cluster", good=given, suffix="", cost=20,
                read=file_of(folder / "given", lambda: with_file(run / REMOTE, record, fetch_by("listed", listed + b"\n")))),
        Surface(name="answer to a launch on a cluster", good=looked + b"\n", suffix=".json", read=launch),
    ]  # fmt: skip
