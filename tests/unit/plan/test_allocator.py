"""Whether settings of torch's allocator that the user has in the shell are replaced without a word."""

import pytest

from launcher.plan.allocator import GROWS, replaces

PLANNED = {"PYTORCH_ALLOC_CONF": GROWS}


@pytest.mark.parametrize(
    ("planned", "shell"),
    [
        (PLANNED, {}),
        (PLANNED, {"PYTORCH_ALLOC_CONF": ""}),
        (PLANNED, {"PYTORCH_CUDA_ALLOC_CONF": f"max_split_size_mb:128,{GROWS}"}),
        ({}, {"PYTORCH_ALLOC_CONF": "max_split_size_mb:128"}),
        ({"PYTORCH_ALLOC_CONF": "backend:native"}, {"PYTORCH_ALLOC_CONF": "max_split_size_mb:128"}),
    ],
)
def test_nothing_is_said_where_nothing_of_the_shell_is_lost(planned, shell):
    assert replaces(planned, shell) is None


@pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_a_value_of_the_shell_that_is_replaced_is_told_with_the_key_that_keeps_it(name: str):
    said = replaces(PLANNED, {name: "max_split_size_mb:128"})
    assert said is not None
    assert said.startswith(
        f"{name}=max_split_size_mb:128 of your shell is replaced by PYTORCH_ALLOC_CONF={GROWS}"
    )
    assert said.endswith(f"to keep it, set +cluster.env.{name}='max_split_size_mb:128'")
