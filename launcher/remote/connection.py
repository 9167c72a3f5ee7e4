"""A connection of OpenSSH that stays open, so that the user logs in once, with a second factor if the site wants one.

The first call of ssh becomes the master (ControlMaster) and goes into the background; later calls use its socket, and
ask nothing (BatchMode). Source: ssh_config(5), OpenSSH 9.
"""

import hashlib
import os
import shlex
import shutil
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from launcher import environment
from launcher.errors import ClusterError

_PERSIST = "4h"
"""How long the connection stays open without a call."""
_CONNECT_S = 20
_ALIVE = ("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4")
_LONGEST_SOCKET = 80
"""Most bytes of a socket's path: Linux allows 108, macOS 104, and ssh adds 17 while it creates the socket."""
_CHECK_S = 10.0
SSH_FAILED = 255
"""The exit code of ssh if ssh itself fails."""

_REASONS = (
    ("could not resolve hostname", "this machine cannot resolve the host; write the name that `ssh` and ~/.ssh/config know"),
    ("identification has changed", "the host key has changed; if this change is expected: ssh-keygen -R HOST"),
    ("host key verification failed", "the host key is not known here; log in once by hand and check the key: ssh {ssh}"),
    ("permission denied", "the login was refused; make `ssh {ssh}` work by hand; if ssh asks for something, use a terminal"),
    ("too many authentication failures", "the login was refused; name the key in ~/.ssh/config (IdentityFile, IdentitiesOnly)"),
    ("connection refused", "nothing answers there; check the host's name and port"),
    ("timed out", "nothing answers there; check the network, a VPN or ProxyJump"),
    ("no route to host", "nothing answers there; check the network, a VPN or ProxyJump"),
    ("unreachable", "nothing answers there; check the network, a VPN or ProxyJump"),
)  # fmt: skip
"""Part of the message of ssh, in lower case, and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshConnection:
    """An open connection."""

    ssh: str
    """The value of cluster.ssh."""
    socket: Path

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """A running command of the remote shell, with pipes for stdin and stdout. Its stderr is copied to ours."""
        options = ("-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S}", *_ALIVE)
        argv = [
            "ssh",
            "-T",
            "-S",
            str(self.socket),
            "-o",
            "ControlMaster=no",
            *options,
            "--",
            self.ssh,
            command,
        ]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def is_open(self) -> bool:
        """Whether the master still answers."""
        return self._tell("check")

    def close(self) -> None:
        """Ends the master."""
        self._tell("exit")

    def _tell(self, order: str) -> bool:
        argv = ["ssh", "-S", str(self.socket), "-O", order, "--", self.ssh]
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_CHECK_S
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


def connect(ssh: str, *, may_ask: bool = True) -> SshConnection:
    """The open connection, made if there is none; ClusterError with the reason and the way out if it cannot be made.

    If stdin is a terminal, ssh may ask for a password or a code there, unless `may_ask` is False.
    """
    if shutil.which("ssh") is None:
        raise ClusterError(
            f"cluster.ssh={ssh} needs the program ssh, which is not on PATH; install OpenSSH's client"
        )
    connection = SshConnection(ssh=ssh, socket=_folder() / hashlib.sha256(ssh.encode()).hexdigest()[:16])
    if connection.socket.exists():
        if connection.is_open():
            return connection
        connection.socket.unlink(missing_ok=True)  # a killed master left it behind
    _start_master(connection, asks=may_ask and sys.stdin is not None and sys.stdin.isatty())
    return connection


def _start_master(connection: SshConnection, *, asks: bool) -> None:
    options = ["-o", f"BatchMode={'no' if asks else 'yes'}", "-o", f"ConnectTimeout={_CONNECT_S}", *_ALIVE]
    master = ["-M", "-N", "-f", "-T", "-S", str(connection.socket), "-o", f"ControlPersist={_PERSIST}"]
    with subprocess.Popen(
        ["ssh", *master, *options, "--", connection.ssh],
        stdin=None if asks else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=not asks,  # Ctrl-C ends the command, not the connection
    ) as process:
        said = _said_until_end(process, show=asks)
        if process.returncode:
            raise ClusterError(f"cluster.ssh={connection.ssh}: {explain(connection.ssh, said)}")


def _said_until_end(process: subprocess.Popen[bytes], *, show: bool) -> str:
    """What ssh said until it ended or went into the background, where it keeps stderr open."""
    lines: list[bytes] = []

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if show:
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    process.wait()
    reader.join(timeout=1.0 if process.returncode else 0.05)
    return b"".join(lines).decode(errors="replace")


def explain(ssh: str, said: str) -> str:
    """The reason why ssh failed and the way out, derived from its messages."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for text, way_out in _REASONS:
        if found := next((line for line in reversed(lines) if text in line.lower()), None):
            return f"{way_out.format(ssh=ssh)} [{found.strip('@ ')}]"
    return f"ssh failed: {lines[-1] if lines else 'it gave no reason'}; first make `ssh {ssh}` work by hand"


def _folder() -> Path:
    """The folder of the sockets, which only this user can enter; ClusterError if it is not such a folder."""
    given = os.environ.get(environment.XDG_RUNTIME_DIR)
    folder = Path(given, "launcher-ssh") if given else Path(f"/tmp/launcher-ssh-{os.getuid()}")
    if len(os.fsencode(folder)) + 17 > _LONGEST_SOCKET:
        folder = Path(f"/tmp/launcher-ssh-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ClusterError(
            f"{folder} must belong to you and have mode 0700, since it holds the sockets of ssh; check who created it, and "
            "remove it"
        )
    return folder


def login_command(python: str, *words: str) -> str:
    """A command for a remote shell of any kind. It runs Python with these arguments in the environment of a login shell."""
    script = " ".join(["exec", _path(python), *map(shlex.quote, words)])
    return f"exec bash -lc {shlex.quote(script)}"


def _path(text: str) -> str:
    """A path for bash, quoted except for ~/ at its start and for $NAME."""
    from launcher.launching.typed import VARIABLE

    home, rest = ('"$HOME"/', text[2:]) if text.startswith("~/") else ("", text)
    pieces, at = [home], 0
    for match in VARIABLE.finditer(rest):
        pieces += [
            shlex.quote(rest[at : match.start()]) if match.start() > at else "",
            f'"${{{match[1] or match[2]}}}"',
        ]
        at = match.end()
    return "".join([*pieces, shlex.quote(rest[at:]) if rest[at:] else ""])
