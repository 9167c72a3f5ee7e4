"""The check of a job's GPUs, by what nvidia-smi and the kernel say."""

from pathlib import Path

import pytest

from launcher.supervise.gpu_check import find_problems, gpu_problems, own_gpus, own_slices, xid_problems

TABLE = """0, GPU-aa11, 00000000:1A:00.0, 3, 81559, 0
1, GPU-bb22, 00000000:3B:00.0, 40000, 81559, 0
2, GPU-cc33, 00000000:86:00.0, 3, 81559, 2
3, GPU-dd44, 00000000:AF:00.0, 3, 81559, [N/A]
"""


def test_gpus_that_are_busy_broken_or_missing_are_named():
    assert gpu_problems(own_gpus(TABLE, None), 4, []) == [
        "GPU 1 is in use: 40000 of 81559 MiB",
        "GPU 2 has 2 uncorrected memory errors",
    ]
    assert gpu_problems([], 2, []) == ["0 GPUs are visible to this job and 2 are needed"]


@pytest.mark.parametrize(
    ("visible", "indices"),
    [("0,3", "03"), ("GPU-dd,GPU-aa11", "03"), ("", ""), ("0, 3", "03"), (None, "0123"), ("NoDevFiles", "")],
)
def test_another_jobs_gpu_is_not_judged(visible: str | None, indices: str):
    gpus = own_gpus(TABLE, visible)
    assert "".join(one.index for one in gpus) == indices
    if indices == "03":
        assert gpu_problems(gpus, 2, []) == []


def test_slices_of_one_gpu_are_counted_and_its_memory_is_not_judged():
    slices = own_slices(["MIG-1", "MIG-2", "MIG-3"], "MIG-1,MIG-3")
    assert slices == ["MIG-1", "MIG-3"]
    assert gpu_problems(own_gpus(TABLE, "MIG-1,MIG-3"), 2, slices) == []
    assert gpu_problems([], 3, slices) == ["2 MIG slices are visible to this job and 3 are needed"]


def test_a_gpu_whose_driver_told_of_a_broken_one_is_named_and_a_programs_own_fault_is_not():
    log = (
        "[   90.100000] NVRM: Xid (PCI:0000:1a:00): 79, pid=1, GPU has fallen off the bus.\n"
        "[ 8000.123456] NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, GPU has fallen off the bus.\n"
        "[ 8001.000001] NVRM: Xid (PCI:0000:86:00): 31, pid=99, Ch 00000010, MMU Fault\n"
        "[ 8002.000001] NVRM: Xid (PCI:0000:86:00): 48, pid=99, DBE\n"
    )
    assert xid_problems(log, 8100.0, own_gpus(TABLE, "0,1")) == [
        "the GPU at 0000:3b:00 reported XID 79 within the last hour"
    ]
    assert len(xid_problems(log, 8100.0, own_gpus(TABLE, "2"))) == 2


@pytest.mark.parametrize(
    ("script", "visible", "problems"),
    [
        (f"case $1 in -L) ;; *) printf '%s' '{TABLE}';; esac", "0,3", []),
        (f"case $1 in -L) ;; *) printf '%s' '{TABLE}';; esac", "0,1", ["GPU 1 is in use: 40000 of 81559 MiB"]),
        (
            "case $1 in -L) printf 'GPU 0: A (UUID: GPU-aa)\\n  MIG 3g.40gb     Device  0: (UUID: MIG-x1)\\n"
            "  MIG 3g.40gb     Device  1: (UUID: MIG-x2)\\n';; *) echo '0, GPU-aa, 0:1A:00.0, 70000, 81559, 0';; esac",
            None, [],
        ),
        ("echo 'Failed to initialize NVML: Driver/library version mismatch' >&2; exit 18", "0",
         ["nvidia-smi fails: Failed to initialize NVML: Driver/library version mismatch"]),
    ],
)  # fmt: skip
def test_the_tool_of_a_node_is_asked(
    tmp_path: Path, monkeypatch, script: str, visible: str | None, problems: list[str]
):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_problems(2, {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}) == problems
