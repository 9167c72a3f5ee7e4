"""Where a server may listen, which key it takes, and the command that vLLM gets: all before a model is loaded."""

import json
import os
import shlex
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.__main__ import main
from launcher.after.serve.endpoint import bind, find_endpoint
from launcher.errors import ClusterError, LauncherError
from tests.support.paths import ROOT

KEY = "0123456789abcdef0123"
ADAPTER: dict[str, Any] = {
    "base_model_name_or_path": "someone/base",
    "r": 20,
    "bias": "none",
    "use_dora": False,
}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "node7"])
def test_other_machines_are_refused_without_a_key(host: str):
    with pytest.raises(
        LauncherError, match=f"--host {host} lets other machines ask the model, and there is no key"
    ):
        find_endpoint(host, 0, None, {})
    assert find_endpoint(host, 0, None, {"LAUNCHER_API_KEY": KEY}).key == KEY


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.5.5.5"])
def test_this_machine_needs_no_key(host: str):
    assert find_endpoint(host, 0, None, {}).key is None


def test_a_key_file_is_read_if_no_other_user_can_read_it(tmp_path: Path):
    file = tmp_path / "my key"
    file.write_text(f"{KEY}\n")
    file.chmod(0o640)
    with pytest.raises(LauncherError, match="can be read or written by other users; chmod 600"):
        find_endpoint("127.0.0.1", 0, file, {})
    file.chmod(0o600)
    found = find_endpoint("0.0.0.0", 0, file, {"LAUNCHER_API_KEY": "another"})
    assert (found.key, found.key_words) == (KEY, f"$(cat '{file}')")


@pytest.mark.parametrize(
    "key", ["short", "with a blank in it", "umlaut-ä-0123456789", "tab\t0123456789abcdef"]
)
def test_a_key_that_no_header_holds_or_that_is_guessed_is_refused(key: str):
    with pytest.raises(LauncherError, match="at least 16 printable ASCII characters") as caught:
        find_endpoint("0.0.0.0", 0, None, {"LAUNCHER_API_KEY": key})
    assert key not in str(caught.value)


def test_a_taken_port_is_refused_before_a_model_is_loaded():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = find_endpoint("127.0.0.1", taken.getsockname()[1], None, {})
        with pytest.raises(ClusterError, match=r"cannot be used .*--port 0 for a free one"):
            bind(endpoint)


@pytest.fixture
def vllm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout and stderr of `serve` with --engine vllm and a program of that name, which prints what it gets."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "vllm"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "key=$VLLM_API_KEY"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    def vllm(folder: Path, *words: str) -> tuple[int, str, str]:
        child = os.fork()  # the command replaces its process
        if child == 0:
            os._exit(main(["serve", str(folder), "--engine", "vllm", "--port", "0", *words]))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = capfd.readouterr()
        return code, said.out, said.err

    return vllm


def folder_with(path: Path, **files: Any) -> Path:
    path.mkdir()
    for name, value in files.items():
        (path / f"{name}.json").write_text(json.dumps(value))
    return path


def test_vllm_gets_base_adapter_and_rank_and_the_key_in_its_environment_alone(
    vllm, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("LAUNCHER_API_KEY", KEY)
    folder = folder_with(tmp_path / "mine", adapter_config=ADAPTER)
    code, out, err = vllm(folder, "--gpus", "2")
    assert code == 0, err
    words = out.splitlines()
    words = words[words.index("serve") :]
    assert words[:2] == ["serve", "someone/base"] and words[-1] == f"key={KEY}"
    assert f"mine={folder}" in words and words[words.index("--max-lora-rank") + 1] == "32"
    assert words[words.index("--tensor-parallel-size") + 1] == "2"
    assert KEY not in err and KEY not in out.partition("serve")[0]


def test_vllm_serves_a_whole_model_under_the_name_of_its_folder(vllm, tmp_path: Path):
    code, out, err = vllm(folder_with(tmp_path / "merged", config={}), "--name", "mine")
    assert code == 0, err
    assert shlex.join(out.splitlines()[-3:-1]) == "--served-model-name mine"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"use_dora": True}, "it is a DoRA adapter"),
        ({"modules_to_save": ["lm_head"]}, "it has whole modules"),
        ({"trainable_token_indices": [1]}, "trained embeddings"),
        ({"bias": "all"}, "trained biases"),
    ],
)
def test_an_adapter_that_vllm_does_not_load_is_refused_with_the_way_out(
    vllm, tmp_path: Path, changes, said: str
):
    code, _, err = vllm(folder_with(tmp_path / "mine", adapter_config={**ADAPTER, **changes}))
    assert code == 1 and said in err and "launcher export --merged" in err


def test_vllm_that_is_not_installed_is_refused_with_the_pip_line(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["serve", str(folder_with(tmp_path / "mine", config={})), "--engine", "vllm"]) == 1
    assert "pip install vllm" in capsys.readouterr().err


def test_a_missing_web_server_is_refused_with_the_pip_line_before_a_model_is_loaded(tmp_path: Path):
    packages = tmp_path / "packages"
    packages.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.name not in ("fastapi", "uvicorn"):
            (packages / path.name).symlink_to(path)
    done = subprocess.run(
        [sys.executable, "-S", "-m", "launcher", "serve", str(folder_with(tmp_path / "mine", config={}))],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{ROOT}:{packages}"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "serve needs fastapi and uvicorn" in done.stderr and "pip install 'launcher[serve]'" in done.stderr
