"""A login node: a real sshd with a home, programs and a host key of its own, and an ssh that knows it.

It listens on 127.0.0.1, or is started for each connection in another place, such as the controller of slurm/lab.
"""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
NEEDED = ("ssh", "ssh-keygen")


class Login:
    """One login node. Its hosts are called `login`, `refused` (no key is accepted there), `stranger` (its key is not known),
    and `nowhere` (nothing listens)."""

    def __init__(
        self, folder: Path, inside: Sequence[str] = (), *, reachable: bool = True, path: str = "/usr/bin:/bin"
    ) -> None:
        """`inside`: the words that start a program in another place; `reachable`: whether that place has this machine's
        network; `path` is the PATH there, after its own programs."""
        self.folder, self.inside, self.reachable = folder, inside, reachable
        self.home, self.bin, self.laptop = folder / "home of me", folder / "bin", folder / "laptop"
        for one in (self.home, self.bin, self.laptop / "bin"):
            one.mkdir(parents=True)
        self.sockets = Path(tempfile.mkdtemp(prefix="ssh", dir="/tmp"))  # their paths must be short
        self.port = _free_port()
        for name in ("host_key", "key", "other_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
            )
        # a profile that prints and sets the PATH, as those of sites do
        path = f"{self.bin}:{path}"
        (self.home / ".profile").write_text(f"echo Welcome to the cluster\nexport PATH={shlex.quote(path)}\n")
        self.python(sys.executable)
        self.process: subprocess.Popen[bytes] | None = None

    def python(self, interpreter: str, name: str = "python3") -> None:
        """Makes it the Python of that name there."""
        self.program(name, f'exec {shlex.quote(interpreter)} "$@"')

    def program(self, name: str, script: str) -> None:
        """A program on the PATH there."""
        file = self.bin / name
        file.write_text(f"#!/bin/bash\n{script}\n")
        file.chmod(0o755)

    def start(self, *settings: str) -> None:
        """`settings`: lines of sshd_config, which come first and therefore count."""
        Path("/run/sshd").mkdir(exist_ok=True)
        (self.folder / "authorized_keys").write_text((self.folder / "key.pub").read_text())
        config = self.folder / "sshd_config"
        config.write_text(
            "".join(f"{line}\n" for line in settings)
            + f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host_key\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nStrictModes no\nPasswordAuthentication no\n"
            f'PermitRootLogin yes\nSetEnv "HOME={self.home}"\n'
        )
        key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")
        (self.folder / "no_hosts").touch()
        (self.folder / "ssh_config").write_text(
            f"Host login refused stranger\n  HostName 127.0.0.1\n  Port {self.port}\n"
            f"Host nowhere\n  HostName 127.0.0.1\n  Port {_free_port()}\n"
            f"Host refused\n  IdentityFile {self.folder}/other_key\n"
            f"Host login stranger nowhere\n  IdentityFile {self.folder}/key\n"
            "Host *\n  IdentitiesOnly yes\n  StrictHostKeyChecking yes\n"
            f"Match originalhost stranger\n  GlobalKnownHostsFile /dev/null\n  UserKnownHostsFile {self.folder}/no_hosts\n"
            f"Match originalhost login,refused,nowhere\n  UserKnownHostsFile {self.folder}/known_hosts\n"
        )
        ssh = self.laptop / "bin" / "ssh"
        ssh.write_text(f'#!/bin/bash\nexec {shutil.which("ssh")} -F {self.folder}/ssh_config "$@"\n')
        ssh.chmod(0o755)
        if not self.reachable:
            words = [*self.inside, str(SSHD), "-i", "-E", str(self.folder / "sshd.log"), "-f", str(config)]
            with (self.folder / "ssh_config").open("a") as file:
                file.write(f"Match originalhost login\n  ProxyCommand {shlex.join(words)}\n")
            return
        log = (self.folder / "sshd.log").open("wb")
        self.process = subprocess.Popen([*self.inside, str(SSHD), "-D", "-e", "-f", str(config)], stderr=log)
        for _ in range(200):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError((self.folder / "sshd.log").read_text())

    def stop(self) -> None:
        for socket_file in (self.sockets / "launcher-ssh").glob("*"):
            subprocess.run(["ssh", "-S", str(socket_file), "-O", "exit", "any"], capture_output=True)
        if self.process:
            self.process.terminate()
            self.process.wait()
        shutil.rmtree(self.sockets)

    def environment(self, **more: str) -> dict[str, str]:
        """That of the laptop: another home, and none of the cluster's programs."""
        return {
            "PATH": f"{self.laptop / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.laptop),
            "XDG_RUNTIME_DIR": str(self.sockets),
            "LANG": "C.UTF-8",
            **more,
        }

    @staticmethod
    def command(*words: str) -> list[str]:
        """A command of the launcher."""
        return [sys.executable, "-m", "launcher", *words]

    def here(self, *words: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """A command of the launcher on the laptop."""
        return subprocess.run(
            self.command(*words), cwd=cwd or self.laptop, env=self.environment(**more),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    def sent(self, kind: str = "files") -> list[Path]:
        """What is in the cache there."""
        return sorted((self.home / "launcher" / "sent" / kind).glob("*"))


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
