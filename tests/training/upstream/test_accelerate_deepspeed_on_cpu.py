"""DeepSpeed's communication backend on CPU ranks, with the patch and without it."""

import pytest

from tests.training.upstream.ranks import on_ranks

pytestmark = pytest.mark.train

CODE = """
from accelerate import Accelerator, DeepSpeedPlugin
from deepspeed import comm
Accelerator(cpu=True, deepspeed_plugin=DeepSpeedPlugin(zero_stage=3))
{patch}
print(comm.is_initialized())
"""
PATCH = "from launcher.train.upstream.accelerate_deepspeed_on_cpu import init_deepspeed_on_cpu; init_deepspeed_on_cpu()"


def test_without_the_call_deepspeed_has_no_backend_on_cpu_ranks():
    assert on_ranks(CODE.format(patch="")) == ["False", "False"]


def test_with_the_call_it_has_one():
    assert on_ranks(CODE.format(patch=PATCH)) == ["True", "True"]
