"""A command of the launcher on the cluster, with its output and its exit code; a verb about a run there is such a command.

It runs with the code of the launcher that launched the run.
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, cast

from launcher.errors import ClusterError, UsageError
from launcher.output import warn
from launcher.remote.connection import SSH_FAILED, SshConnection, connect
from launcher.remote.talk import talk
from launcher.run.kinds import fits
from launcher.run.remote import RemoteRun, RunElsewhere, list_remote, read_remote
from launcher.run.scan import REMOTE

_PIECE, _LONGEST = 1 << 16, 256 << 20
_STATUS: Mapping[str, Any] = {
    "run": str, "run_dir": str, "state": str, "step": int | None, "total_steps": int | None, "loss": float | None,
    "job_id": str | None,
}  # fmt: skip
"""The fields of a status that the list shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line on the cluster."""

    words: Sequence[str]
    """The verb and its arguments."""
    folder: str
    """Absolute path of the folder in which it runs."""
    path: Sequence[str]
    """Folders from which the launcher and the user's code are imported."""
    base: str
    """cluster.ssh_dir."""
    answer: str | None = None
    """Name of the file into which a launch writes its run."""
    git: Mapping[str, Any] | None = None
    """The fields of the GitState of the working folder on this machine; only for a launch."""


def run_there(connection: SshConnection, python: str, command: Command) -> int:
    """The exit code; what the command prints is printed here. ClusterError if the connection is lost."""
    with talk(connection, python, _request(command)) as one:
        _copy(one.receive)
        code = one.process.wait()
    if code == SSH_FAILED or code < 0:  # negative: ssh itself was killed
        raise ClusterError(
            f"cluster.ssh={connection.ssh}: the connection was lost, and a run continues without it; repeat the command"
        )
    return code


def capture_there(connection: SshConnection, python: str, command: Command) -> tuple[int, bytes]:
    """The exit code, and what the command prints on stdout."""
    with talk(connection, python, _request(replace(command, answer=None, git=None))) as one:
        printed = one.receive.read(_LONGEST)
        return one.process.wait(), printed


def _request(command: Command) -> dict[str, Any]:
    """What the other side reads."""
    return {
        "do": "run",
        "words": list(command.words),
        "folder": command.folder,
        "path": list(command.path),
        "base": command.base,
        "answer": command.answer,
        "git": command.git,
    }


def _copy(receive: IO[bytes]) -> None:
    assert isinstance(receive, BufferedReader)
    while piece := receive.read1(_PIECE):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def run_about(verb: str, words: Sequence[str], reference: str | None, away: RunElsewhere) -> int:
    """The exit code of the verb on the cluster; its arguments name the run by its folder there."""
    remote = away.remote
    connection = connect(remote.ssh)
    return run_there(
        connection,
        remote.python,
        Command(
            words=[*verb.split(), *words_there(words, reference, remote.run_dir)],
            folder=remote.base,
            path=remote.path,
            base=remote.base,
        ),
    )


def words_there(words: Sequence[str], reference: str | None, run_dir: str) -> list[str]:
    """The arguments with the run dir in place of the reference, and without --runs-dir."""
    found: list[str] = []
    rest, named = iter(words), False
    for word in rest:
        if word == "--runs-dir":
            next(rest, None)
        elif word.startswith("--runs-dir="):
            continue
        elif word == reference and not named:
            found.append(run_dir)
            named = True
        else:
            found.append(word)
    return found if named else [run_dir, *found]


def forget(away: RunElsewhere) -> None:
    """Removes the record of a run that was removed on the cluster, and the folder of the record if it is empty."""
    (away.folder / REMOTE).unlink(missing_ok=True)
    if away.folder.is_dir() and not any(away.folder.iterdir()):
        shutil.rmtree(away.folder)


def remove_sent_there(ssh: str, runs_dir: Path, more: Sequence[str]) -> int:
    """The exit code of `remove --sent` on a cluster, with the code of the newest launch there; UsageError if no run that is
    recorded here is on that cluster."""
    remotes = [one for folder in list_remote(runs_dir) if (one := read_remote(folder)) is not None]
    known = [one for one in remotes if one.ssh == ssh]
    if not known:
        named = ", ".join(dict.fromkeys(one.ssh for one in remotes)) or "no cluster"
        raise UsageError(
            f"--sent {ssh}: no run under {runs_dir} was launched there by ssh (they are on {named}), and it is not a folder of "
            "this machine with sent/ in it; name the cluster as cluster.ssh did"
        )
    newest = known[-1]
    words = ["remove", "--sent", newest.base, *more]
    command = Command(words=words, folder=newest.base, path=newest.path, base=newest.base)
    return run_there(connect(ssh), newest.python, command)


def statuses_there(runs: Sequence[RemoteRun]) -> dict[str, dict[str, Any]]:
    """Run dir there -> its status, as `list --json` prints it there. Each cluster is asked once, with the code of its newest
    launch. Runs of a cluster that does not answer are left out, with a warning."""
    newest = {(one.ssh, one.base): one for one in runs}
    found: dict[str, dict[str, Any]] = {}
    for (ssh, base), one in newest.items():
        command = Command(
            words=["list", "--json", "--runs-dir", f"{base}/runs"], folder=base, path=one.path, base=base
        )
        try:
            code, printed = capture_there(connect(ssh), one.python, command)
        except ClusterError as error:
            warn(str(error))
            continue
        rows = _rows(printed)
        if code or rows is None:
            what = (
                f"ended there with exit code {code}" if code else "printed something else than statuses there"
            )
            warn(
                f"cluster.ssh={ssh}: `list` {what}, so the states of its runs are unknown; log in and run it there"
            )
            continue
        found |= {str(row["run_dir"]): row for row in rows}
    return found


def _rows(printed: bytes) -> list[dict[str, Any]] | None:
    """The statuses in the output of a cluster; None if the output is anything else."""
    try:
        values: Any = json.loads(printed)
    except (ValueError, RecursionError):
        return None
    found: list[dict[str, Any]] = []
    for value in cast("list[Any]", values) if isinstance(values, list) else [None]:
        row = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        if "ssh" in row:  # a run of another cluster, of which that cluster has only a record
            continue
        if not fits(row, _STATUS) or not _STATUS.keys() <= row.keys():
            return None
        found.append(row)
    return found
