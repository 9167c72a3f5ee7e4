"""Requests to there.py on the login node, and its answers."""

import json
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from launcher.errors import ClusterError
from launcher.remote import there
from launcher.remote.connection import SSH_FAILED, SshConnection, login_command
from launcher.run.kinds import fits

_BEGIN = "import sys; exec(compile(sys.stdin.buffer.read(int(sys.argv[1])), 'there.py', 'exec'), {'__name__': 'there'})"
_MOST_BEFORE = 1 << 20
"""Most bytes that a login shell may print before the first answer."""
_LONGEST_ANSWER = 256 << 20
"""Most bytes of a line; a list of a million files has about half of that."""
LOOKED: Mapping[str, Any] = {"base": str, "version": str, "host": str, "absent": Sequence[str], "old": bool}
"""The answer to `look`."""
LOOKED_WHOLE: Mapping[str, Any] = {
    **LOOKED, "have": Mapping[str, int], "trees": Sequence[str], "free": int, "earlier": Mapping[str, Any] | None,
}  # fmt: skip
"""The answer to `look` of a machine on which the launcher can run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A running request."""

    ssh: str
    process: subprocess.Popen[bytes]
    send: IO[bytes]
    receive: IO[bytes]

    def answer(self, kinds: Mapping[str, Any]) -> dict[str, Any]:
        """The next line of its answer, which has these keys with values of these types; ClusterError if it has another form or
        reports an error, or if the connection is lost."""
        line = self.receive.readline(_LONGEST_ANSWER)
        try:
            found: Any = json.loads(line)
        except ValueError:
            raise lost(self.ssh) from None
        except RecursionError:
            found = None
        values = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        if error := values.get("error"):
            raise ClusterError(f"cluster.ssh={self.ssh}: {str(error)[:1000]}")
        if not kinds.keys() <= values.keys() or not fits(values, kinds):
            raise ClusterError(
                f"cluster.ssh={self.ssh}: the answer is not from the launcher ({line[:60]!r}); does a login shell print texts, "
                "or is cluster.python another program?"
            )
        return values


def lost(ssh: str) -> ClusterError:
    """The error for a connection that ended too early."""
    return ClusterError(
        f"cluster.ssh={ssh}: the connection was lost; repeat the command, which continues where it stopped"
    )


@contextmanager
def talk(connection: SshConnection, python: str, request: dict[str, Any]) -> Generator[Talk]:
    """A request to the login node; ClusterError if no Python answers there."""
    source = Path(there.__file__).read_bytes()
    process = connection.start(login_command(python, "-c", _BEGIN, str(len(source))))
    assert process.stdin is not None and process.stdout is not None
    with process:
        try:
            with suppress(BrokenPipeError):  # its end is reported below
                process.stdin.write(source + json.dumps(request).encode() + b"\n")
                process.stdin.flush()
            _await_greeting(connection, python, process)
            yield Talk(ssh=connection.ssh, process=process, send=process.stdin, receive=process.stdout)
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()


def ask(
    connection: SshConnection, python: str, request: dict[str, Any], kinds: Mapping[str, Any]
) -> dict[str, Any]:
    """The answer to a request whose answer is one line."""
    with talk(connection, python, request) as one:
        return one.answer(kinds)


def _await_greeting(connection: SshConnection, python: str, process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    before = 0
    while before < _MOST_BEFORE:
        line = process.stdout.readline(_MOST_BEFORE)
        if line.endswith(there.GREETING):
            return
        before += len(line)
        if not line:
            break
    code = process.wait() if before < _MOST_BEFORE else 0
    if code == SSH_FAILED:
        raise lost(connection.ssh)
    raise ClusterError(
        f"cluster.ssh={connection.ssh}: {python} does not run there as Python 3.10 or newer (exit code {code}); set "
        "cluster.python to one on the cluster, such as cluster.python=~/venv/bin/python"
    )
