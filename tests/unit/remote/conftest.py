"""A login node for the tests of this room, and the launcher's own functions on a laptop beside it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.remote.connection import SshConnection, connect
from tests.support.sshd import NEEDED, SSHD, Login


@pytest.fixture(scope="session")
def login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Login]:
    missing = [program for program in NEEDED if shutil.which(program) is None] + ([] if SSHD else ["sshd"])
    if os.geteuid() != 0 or missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"needs root and {', '.join(missing) or 'nothing else'}"
        )
    one = Login(tmp_path_factory.mktemp("login"))
    one.start()
    yield one
    one.stop()


@pytest.fixture
def laptop(login: Login, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process is on the laptop."""
    for name, value in login.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(login.laptop)
    return login.laptop


@pytest.fixture
def connection(laptop: Path) -> SshConnection:
    return connect("login")
