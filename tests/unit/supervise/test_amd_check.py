"""The check of a job's AMD GPUs, by what rocm-smi says."""

import json
from pathlib import Path

import pytest

from launcher.supervise.amd_check import amd_problems, parse, visible_words
from launcher.supervise.gpu_check import find_problems

CARDS = json.dumps(
    {
        f"card{number}": {
            "Unique ID": f"0x{number:X}ABC",
            "VRAM Total Memory (B)": str(64 << 30),
            "VRAM Total Used Memory (B)": str((30 << 30) if number == 1 else (10 << 20)),
        }
        for number in range(4)
    }
)
BUSY = "GPU 1 is in use: 30720 of 65536 MiB"


@pytest.mark.parametrize(
    ("environ", "needed", "problems"),
    [
        ({}, 4, [BUSY]),
        ({"ROCR_VISIBLE_DEVICES": "0,1,2,3"}, 4, [BUSY]),
        ({"ROCR_VISIBLE_DEVICES": "0,1"}, 2, []),  # of a cgroup: not known which
        ({"ROCR_VISIBLE_DEVICES": "GPU-1abc,GPU-2abc"}, 2, [BUSY]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-0abc,GPU-2abc"}, 2, []),
        ({"ROCR_VISIBLE_DEVICES": "0,1"}, 4, ["2 GPUs are visible to this job and 4 are needed"]),
        ({"HIP_VISIBLE_DEVICES": "0"}, 2, ["1 GPUs are visible to this job and 2 are needed"]),
        ({"HIP_VISIBLE_DEVICES": ""}, 1, ["0 GPUs are visible to this job and 1 are needed"]),
    ],
)
def test_the_jobs_gpus_alone_are_judged(environ, needed: int, problems: list[str]):
    listed = parse(CARDS)
    assert listed is not None
    assert amd_problems(listed, visible_words(environ), needed) == problems


def test_one_variable_chooses_from_what_the_other_leaves():
    assert visible_words({"ROCR_VISIBLE_DEVICES": "4,5,6", "HIP_VISIBLE_DEVICES": "0,2"}) == ["4", "6"]
    assert visible_words({"ROCR_VISIBLE_DEVICES": "4,5", "HIP_VISIBLE_DEVICES": "0,7"}) == ["4"]
    assert visible_words({}) is None


@pytest.mark.parametrize(
    ("script", "problems"),
    [
        (f"cat <<'X'\n{CARDS}\nX", [BUSY]),
        ("echo 'ERROR: no driver' >&2; exit 2", ["rocm-smi fails: ERROR: no driver"]),
        ("echo '[]'", ["rocm-smi fails: []"]),
        (None, []),
    ],
)
def test_rocm_smi_is_asked_where_nvidia_smi_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, problems: list[str]
):
    if script is not None:
        (tmp_path / "rocm-smi").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        (tmp_path / "rocm-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_problems(4, {}) == problems


def test_ranks_on_the_cpu_of_an_amd_site_see_no_gpu(plan):
    site = ("+experiment=tiny", "cluster=lumi", "cluster.sbatch.account=a")
    env = plan(*site, device="cpu").env
    assert (env["CUDA_VISIBLE_DEVICES"], env["HIP_VISIBLE_DEVICES"]) == ("", "")
    assert "HIP_VISIBLE_DEVICES" not in plan(*site).env
