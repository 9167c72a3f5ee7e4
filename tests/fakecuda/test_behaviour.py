"""What the launcher's rank asks of torch on a GPU, seen on a fake CUDA device."""

from collections.abc import Callable

import pytest

from tests.fakecuda.cases import Case
from tests.fakecuda.hold import Held

pytestmark = pytest.mark.train
TWO = Case(layers=2, length=256, ranks=2)


@pytest.mark.parametrize(
    ("strategy", "backend"), [("ddp", "nccl"), ("fsdp2", "nccl"), ("fsdp2_offload", "cuda:nccl,cpu:gloo")]
)
def test_the_ranks_meet_through_nccl_and_where_gradients_are_on_the_host_through_gloo_too(
    held: Callable[[Case], Held], strategy: str, backend: str
):
    found = held(Case(layers=2, length=256, ranks=2, strategy=strategy))
    assert found.error is None, found.found
    assert found.found["called"][0] == {"call": "init_process_group", "backend": backend}


@pytest.mark.parametrize(
    ("packed", "kernel"),
    [(False, "_scaled_dot_product_flash_attention"), (True, "_scaled_dot_product_efficient_attention")],
)
def test_attention_takes_flash_without_a_mask_and_the_efficient_kernel_with_one(
    held: Callable[[Case], Held], packed: bool, kernel: str
):
    found = held(Case(layers=2, length=256, packed=packed))
    assert found.error is None, found.found
    used = {name.split(".")[1] for name in found.found["operations"] if "scaled_dot" in name}
    assert used == {kernel, f"{kernel}_backward"}


def test_the_optimizer_and_clipping_take_foreach_kernels(held: Callable[[Case], Held]):
    operations = held(Case(layers=2, length=256)).found["operations"]
    assert any("_foreach_addcdiv_" in name for name in operations)
    assert any("_foreach_norm" in name for name in operations)


def test_no_step_waits_for_the_gpu(held: Callable[[Case], Held]):
    assert "synchronize" not in held(Case(layers=2, length=256)).found["asked"]


def test_the_peak_counters_reach_the_log_and_the_event(held: Callable[[Case], Held]):
    asked = held(Case(layers=2, length=256)).found["asked"]
    assert asked["max_memory_allocated"] and asked["max_memory_reserved"] and asked["mem_get_info"]
