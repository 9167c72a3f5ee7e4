"""A login node that wants a one-time code beside the key, asked by a real sshd through PAM."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sshd import Login
from tests.support.terminal import run_on_terminal

PAM = """
auth required pam_exec.so expose_authtok quiet {check}
auth required pam_permit.so
account required pam_permit.so
session required pam_permit.so
"""
CHECK = """#!/bin/bash
IFS= read -r -d '' code
grep -qxF -- "$code" {folder}/codes || exit 1
sed -i "/^$code\\$/d" {folder}/codes  # each code counts once
"""


@pytest.fixture
def guarded(login: Login, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Login]:
    """`login`, the shared one, shows that this machine can run sshd."""
    del login
    folder = tmp_path_factory.mktemp("guarded")
    check, pam = folder / "check", folder / "pam"
    check.write_text(CHECK.format(folder=shlex.quote(str(folder))))
    check.chmod(0o755)
    pam.write_text(PAM.format(check=check))
    bind = f'mount --bind {shlex.quote(str(pam))} /etc/pam.d/sshd && exec "$@"'
    one = Login(folder / "site", inside=("unshare", "--mount", "bash", "-c", bind, "sshd"))
    one.start(
        "UsePAM yes",
        "KbdInteractiveAuthentication yes",
        "AuthenticationMethods publickey,keyboard-interactive",
    )
    (folder / "codes").write_text("123456\n654321\n")
    yield one
    one.stop()


def test_a_code_is_asked_for_once_on_a_terminal_and_later_commands_need_none(guarded: Login):
    words = ("plan", "+experiment=tiny", "cluster=slurm", "cluster.ssh=login", "data.check=off", "--json")
    without = guarded.here(*words)
    assert without.returncode != 0
    assert "the login was refused" in without.stderr and "use a terminal" in without.stderr

    code, shown = run_on_terminal(
        [*guarded.command(*words)], [("Password:", "123456")], guarded.laptop, guarded.environment()
    )
    assert code == 0, shown
    again = guarded.here(*words)
    assert again.returncode == 0 and '"run_dir"' in again.stdout, again.stderr
    assert Path(guarded.folder.parent / "codes").read_text() == "654321\n"
    assert "Password" not in again.stdout + again.stderr


def test_a_wrong_code_is_one_line_with_a_way_out(guarded: Login):
    code, shown = run_on_terminal(
        [*guarded.command("plan", "+experiment=tiny", "cluster=slurm", "cluster.ssh=login")],
        [("Password:", "000000")] * 3,
        guarded.laptop,
        guarded.environment(),
    )
    assert code == 1 and "cluster.ssh=login: the login was refused" in shown, shown
