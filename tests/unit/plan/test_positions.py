"""How far positions reach: what the config.json says, what model.rope_scaling makes of it, and what is refused."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from launcher.config import RopeScalingConfig, RopeType
from launcher.errors import ConfigError, PlanError
from launcher.plan.positions import beyond, read_positions, stretched

LLAMA_31 = {
    "max_position_embeddings": 131072,
    "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}  # fmt: skip


def frequencies(rope: Mapping[str, Any], longest: int) -> torch.Tensor:
    """The inverse frequencies that transformers computes."""
    shape: dict[str, Any] = {"hidden_size": 128, "num_attention_heads": 2, "max_position_embeddings": longest}
    return LlamaRotaryEmbedding(LlamaConfig(**shape, rope_parameters=dict(rope))).inv_freq


@pytest.mark.parametrize(
    ("config_json", "found"),
    [
        ({}, (None, None)),
        ({"max_position_embeddings": 2048}, (2048, 2048)),
        (LLAMA_31, (131072, 8192)),
        ({"max_position_embeddings": 4096, "rope_parameters": {"rope_theta": 1e4}}, (4096, 4096)),
    ],
)
def test_the_positions_of_a_model_are_read_from_its_config(config_json, found):
    assert read_positions(config_json) == found


def test_odd_positions_are_refused():
    with pytest.raises(ConfigError, match="max_position_embeddings=many"):
        read_positions({"max_position_embeddings": "many"})


def test_linear_divides_all_frequencies_and_keeps_the_base():
    own = {"rope_type": "default", "rope_theta": 5e5}
    rope, longest = stretched(RopeScalingConfig(rope_type=RopeType.linear), 4.0, own, 2048)
    assert longest == 8192
    torch.testing.assert_close(frequencies(rope, longest), frequencies(own, 2048) / 4)


def test_yarn_keeps_high_frequencies_and_divides_low_ones():
    own = {"rope_type": "default", "rope_theta": 1e4}
    rope, longest = stretched(RopeScalingConfig(), 4.0, own, 2048)
    relative = frequencies(rope, longest) / frequencies(own, 2048)
    assert (float(relative[0]), float(relative[-1])) == (1.0, pytest.approx(0.25))


def test_a_model_that_was_stretched_before_is_stretched_from_its_first_positions():
    own = {**LLAMA_31["rope_scaling"], "rope_theta": 5e5}
    rope, longest = stretched(RopeScalingConfig(rope_type=RopeType.llama3), 8.0, own, 131072)
    assert (rope, longest) == (own, 65536)
    assert stretched(RopeScalingConfig(rope_type=RopeType.llama3), 16.0, own, 131072)[1] == 131072


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("{factor: 1}", "factor=1 must be greater than 1"),
        ("{factor: nan}", "factor=nan must be greater than 1"),
        ("{factor: 4, low_freq_factor: 1}", "low_freq_factor belongs to rope_type=llama3, and this is yarn"),
        ("{beta_fast: 16}", "beta_fast has no effect without model.rope_scaling.factor"),
        ("{factor: 2}", r"longer than the 4096 positions .*\(factor 2 of 2048\); set model.rope_scaling.factor=4"),
        ("{factor: 4, original_max_position_embeddings: 0}", "must be at least 1"),
    ],
)  # fmt: skip
def test_what_cannot_reach_is_refused(plan, typed: str, said: str):
    with pytest.raises(PlanError, match=said):
        plan("+experiment=llama8b_lora", "model.max_length=8192", f"model.rope_scaling={typed}", positions=2048,
             original_positions=2048)  # fmt: skip


def test_what_depends_on_the_length_of_a_row_is_no_choice_where_ranks_share_it(plan):
    with pytest.raises(PlanError, match=r"rope_type=dynamic .* use rope_type=yarn"):
        plan("+experiment=llama8b_lora", "model.rope_scaling={rope_type: dynamic, factor: 4}",
             "strategy.sequence_parallel_size=2")  # fmt: skip


def test_a_length_beyond_the_positions_is_warned_of_with_the_factor_that_reaches(compose, facts):
    config = compose("+experiment=llama8b_lora", "model.max_length=8192")
    known = facts(config, positions=2048, original_positions=2048)
    assert "rope_type: yarn, factor: 4}" in str(beyond(config.model, known))
    assert beyond(config.model, facts(config, positions=8192, original_positions=8192)) is None
    assert beyond(config.model, facts(config)) is None
    config.model.rope_scaling.factor = math.inf
    assert beyond(config.model, known) is None
