"""NCCL's variables for cards that need them, by what nvidia-smi says."""

import shlex
from pathlib import Path

import pytest

from launcher.supervise.preflight import nccl_variables

OLD, NEW = "NVIDIA GeForce RTX 4090, 535.183.01", "NVIDIA GeForce RTX 4090, 550.54.15"
BOTH = {"NCCL_P2P_DISABLE": "1", "NCCL_IB_DISABLE": "1"}


@pytest.mark.parametrize(
    ("listed", "environ", "expected"),
    [
        ([OLD, OLD], {}, BOTH),
        ([OLD, OLD], {"NCCL_P2P_DISABLE": "0"}, {**BOTH, "NCCL_P2P_DISABLE": "0"}),
        ([OLD], {}, {}),
        ([NEW, NEW], {}, {}),
        (["NVIDIA H100 80GB HBM3, 535.183.01"] * 8, {}, {}),
        (["No devices were found"], {}, {}),
        ([], {}, {}),
    ],
)
def test_ranks_get_what_accelerate_would_set(tmp_path: Path, monkeypatch, listed, environ, expected):
    tool = tmp_path / "nvidia-smi"
    rows = {
        "count,name": [f"{len(listed)}, {line.split(', ')[0]}" for line in listed],
        "driver_version": [line.split(", ")[-1] for line in listed],
        "name,driver_version": listed,
    }
    cases = [
        f"--query-gpu={name}) printf '%s\\n' {shlex.join(lines or [''])};;" for name, lines in rows.items()
    ]
    tool.write_text("#!/bin/sh\ncase $1 in\n" + "\n".join(cases) + "\nesac\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nccl_variables(environ) == expected
    from accelerate.utils import check_cuda_p2p_ib_support

    assert check_cuda_p2p_ib_support() is (not expected)


def test_without_the_tool_nothing_is_set(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nccl_variables({}) == {}
