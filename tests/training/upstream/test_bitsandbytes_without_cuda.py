"""The warm process and CUDA, in a process that pretends to have two GPUs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.train

PRETENCE = """
import torch
def start(): torch.cuda._initialized = True
torch.cuda._lazy_init = start
torch.cuda.is_available, torch.cuda.device_count = lambda: True, lambda: 2
torch.version.cuda = "13.0"
torch._C._cuda_getCurrentRawStream = lambda device: 0
from launcher.train.warm import _has_cuda_context, import_stack
"""


def pretending(tmp_path: Path, script: str) -> str:
    """What the script prints in a process whose torch believes in two GPUs, with an nvidia-smi on its PATH."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '8.6\\n9.0\\n'\n")
    tool.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", PRETENCE + script], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert not done.returncode, done.stderr
    return done.stdout


def test_the_warm_process_imports_peft_and_bitsandbytes_without_starting_cuda(tmp_path):
    found = pretending(
        tmp_path,
        """
import_stack(["peft", "bitsandbytes"])
from bitsandbytes.cuda_specs import get_cuda_specs
from launcher.train.upstream.bitsandbytes_without_cuda import capability_without_cuda
with capability_without_cuda():
    print(get_cuda_specs().highest_compute_capability, torch.cuda.is_initialized(), _has_cuda_context())
get_cuda_specs()  # outside of the context, as without it: CUDA is started
print(torch.cuda.is_initialized(), _has_cuda_context())
""",
    )
    assert found.splitlines()[-2:] == ["(9, 0) False False", "True True"]


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["ddp", "zero3", "fsdp2"])
@pytest.mark.parametrize("method", ["sft", "dpo", "kto", "orpo", "reward", "grpo"])
def test_no_rank_s_import_starts_cuda(tmp_path, method: str, strategy: str):
    found = pretending(
        tmp_path,
        f"""
from launcher.strategies.registry import STRATEGIES
spec = STRATEGIES.find({strategy!r})
import_stack(["datasets", "launcher.train.session", "launcher.train.methods.{method}", "peft", "bitsandbytes",
              *spec.imports, spec.on_rank])
print(_has_cuda_context())
""",
    )
    assert found.splitlines()[-1] == "False"
