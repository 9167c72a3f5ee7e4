"""The connection to a login node, and what is said where there is none."""

import tempfile
import time
from pathlib import Path

import pytest

from launcher.errors import ClusterError
from launcher.remote.command import Command, run_there
from launcher.remote.connection import SshConnection, connect, explain, login_command
from launcher.remote.launch import checked
from launcher.remote.talk import LOOKED, ask, talk
from tests.support.processes import command_lines

LOOK = {"do": "look", "base": "~/launcher", "files": [], "trees": []}


def test_a_second_call_goes_over_the_open_connection(login, connection):
    assert connection.is_open()
    accepted = (login.folder / "sshd.log").read_text().count("Accepted publickey")
    assert ask(connect("login"), "python3", LOOK, LOOKED)["base"] == f"{login.home}/launcher"
    assert (login.folder / "sshd.log").read_text().count("Accepted publickey") == accepted


def test_a_connection_whose_master_was_killed_is_made_again(connection):
    connection.close()
    connection.socket.write_text("what a killed master leaves")
    assert connect("login").is_open()


@pytest.mark.parametrize(
    "host, said",
    [
        ("nosuchhost.invalid", "this machine cannot resolve the host"),
        ("nowhere", "nothing answers there"),
        ("stranger", "the host key is not known here; log in once by hand"),
        ("refused", "the login was refused; make `ssh refused` work by hand"),
    ],
)
def test_a_host_that_lets_nobody_in_is_one_line_with_a_way_out(laptop, host, said):
    with pytest.raises(ClusterError, match=f"cluster.ssh={host}: {said}"):
        connect(host)


def test_no_program_ssh_is_said(laptop, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="needs the program ssh, which is not on PATH"):
        connect("login")


def test_a_folder_of_sockets_that_others_can_enter_is_refused(laptop, monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder, "launcher-ssh").mkdir(mode=0o755)
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        _refused()


def _refused():
    with pytest.raises(ClusterError, match="must belong to you and have mode 0700"):
        connect("login")


def test_a_cluster_without_that_python_is_said(connection):
    with pytest.raises(
        ClusterError, match=r"python3\.99 does not run there .*exit code 127\); set cluster.python"
    ):
        ask(connection, "python3.99", LOOK, LOOKED)


def test_an_old_python_is_named_with_its_version(login, connection):
    own = (login.bin / "python3").read_text().split()[2]
    login.program(
        "python3.8",
        f'shift; {own} -c \'import sys; sys.version_info = (3, 8, 1); sys.version = "3.8.1"; exec(sys.argv.pop(1))\' "$@"',
    )
    with pytest.raises(ClusterError, match=r"python3.8 is Python 3\.8\.1 there"):
        checked("login", "python3.8", ask(connection, "python3.8", LOOK, LOOKED))


def test_a_python_without_the_packages_is_told_what_to_install(login, connection):
    own = (login.bin / "python3").read_text().split()[2]
    login.python(f"{own}", "bare")
    (login.bin / "bare").write_text(f'#!/bin/bash\nexec {own} -S -E "$@"\n')
    with pytest.raises(ClusterError, match=r"bare has no hydra-core, .* -m pip install hydra-core"):
        checked("login", "bare", ask(connection, "bare", LOOK, LOOKED))


def test_the_folder_may_name_the_home_and_a_variable_of_the_cluster(login, connection):
    login.program("with_scratch", 'SCRATCH="/scratch/of me" exec python3 "$@"')
    look = {**LOOK, "base": f"$SCRATCH/../..{login.home}/other"}
    assert ask(connection, "with_scratch", look, LOOKED)["base"].endswith(f"{login.home}/other")
    (login.home / "my python").symlink_to(login.bin / "python3")
    assert ask(connection, "~/my python", LOOK, LOOKED)["version"]


def test_nothing_in_the_name_of_an_interpreter_is_run_by_a_shell(login, connection):
    with pytest.raises(ClusterError, match="does not run there"):
        ask(
            connection,
            f"$(touch {login.folder}/run_by_shell)`touch {login.folder}/run_by_shell`",
            LOOK,
            LOOKED,
        )
    assert not (login.folder / "run_by_shell").exists()
    assert login_command("~/a b/$X/python", "it's").startswith("exec bash -lc ")


def test_a_request_is_in_no_command_line_of_the_cluster(login, connection):
    with talk(
        connection, "python3", {"do": "find", "run_dir": "/a word that nobody shows", "without": []}
    ) as one:
        deadline = time.monotonic() + 30  # a shell starts the program there
        lines = b""
        while b"there.py" not in lines:
            assert time.monotonic() < deadline, lines
            lines = b"\n".join(command_lines().values())
        with pytest.raises(ClusterError, match="no longer exists"):
            one.answer({"files": list})
    assert b"a word that nobody" not in lines


@pytest.mark.parametrize("end", ["kill -9 $$", "exit 255"])
def test_a_connection_that_is_lost_while_a_command_runs_is_said(monkeypatch, tmp_path, end):
    (tmp_path / "ssh").write_text(f"#!/bin/bash\nprintf '\\x1e launcher \\x1e\\nsome output\\n'\n{end}\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    command = Command(words=["logs", "-f"], folder="/", path=[], base="/")
    with pytest.raises(ClusterError, match="the connection was lost, and a run continues without it"):
        run_there(SshConnection(ssh="login", socket=tmp_path / "s"), "python3", command)


def test_an_unknown_failure_keeps_what_ssh_said():
    assert explain("me@host", "noise\nssh: something new\n").startswith("ssh failed: ssh: something new;")
