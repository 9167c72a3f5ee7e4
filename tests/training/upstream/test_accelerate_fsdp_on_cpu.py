"""accelerate's FSDP settings on CPU ranks, with the patch and without it."""

import pytest

from tests.training.upstream.ranks import on_ranks

pytestmark = pytest.mark.train

CODE = """
from accelerate import Accelerator, FullyShardedDataParallelPlugin
{patch}
state = Accelerator(cpu=True, fsdp_plugin=FullyShardedDataParallelPlugin(fsdp_version=2)).state
print(state.distributed_type.value)
"""
PATCH = "from launcher.train.upstream.accelerate_fsdp_on_cpu import keep_fsdp_on_cpu; keep_fsdp_on_cpu()"


def test_without_the_patch_accelerate_drops_fsdp_on_cpu_ranks():
    assert on_ranks(CODE.format(patch="")) == ["MULTI_CPU", "MULTI_CPU"]


def test_with_the_patch_fsdp_stays():
    assert on_ranks(CODE.format(patch=PATCH)) == ["FSDP", "FSDP"]
