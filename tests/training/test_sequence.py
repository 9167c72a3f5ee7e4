"""Ranks that share each sequence: they train what one rank trains, resume on other degrees, and refuse what cannot be exact."""

import math
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from launcher.data.mask import IGNORED
from launcher.errors import ConfigError
from launcher.run import RunDir
from launcher.train.data.packing import Collator
from launcher.train.sequence.attention import check_layers, check_shareable
from launcher.train.sequence.peers import Peers, document_mask, shift
from tests.benchmarks.exactness import Bench, Case, chosen
from tests.support import preloaded
from tests.support.runs import environment
from tests.training.resuming import TWO, planned, samples

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, cache, warm):
    return Bench(tmp_path_factory.mktemp("exactness"), cache, warm)


@pytest.mark.parametrize(
    "case", chosen(sample=True, only=""), ids=lambda case: "-".join(filter(None, case.told))
)
def test_several_ranks_train_what_one_rank_trains(bench: Bench, case: Case):
    found = bench.compare(case)
    assert found.met, found


@pytest.mark.long
def test_a_killed_run_continues_when_two_ranks_share_sequences_and_when_they_no_longer_do(
    warm, straight, cache, tmp_path
):
    """1 -> 2 -> 1: every step takes the same samples and has the same loss as in the undisturbed run."""
    plugins = (
        "plugin=[lora,sharded_checkpoint]",
        "strategy=zero3",
        "plugins.sharded_checkpoint.save_steps=5",
    )
    one, two = (*TWO,), ("batch.micro_batch_size=2", "strategy.sequence_parallel_size=2")
    whole = straight(*plugins, *one)
    run = planned(tmp_path, cache, *plugins, *one)
    for attempt, after in ((1, two), (2, ("batch.micro_batch_size=1", "strategy.sequence_parallel_size=1"))):
        assert warm.run(run.path, kill_after_saves=2)["killed"], run.logs()
        RunDir(run.path).add_end(attempt, 137)  # as the supervisor does
        verb = ("resume", str(run.path), *after, "dry_run=true")
        done = preloaded.run(verb, tmp_path, environment(), timeout_s=120)
        assert done.returncode == 0, done.stderr
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    resumed = [event["step"] for event in run.events("resumed")]
    assert len(resumed) == 2 and 5 <= resumed[0] < resumed[1] <= 20
    lines = [line for line in run.metrics() if "loss" in line]
    last = {line["step"]: line for line in lines}  # of the steps that were taken twice, those that count
    assert [last[step]["loss"] for step in sorted(last)] == pytest.approx(whole.losses, abs=1e-5)
    assert last[20]["tokens"] == whole.metrics()[-1]["tokens"]
    assert last[20]["samples"] == whole.metrics()[-1]["samples"] == 80
    assert [set(step) for step in samples(run)] == [set(step) for step in samples(whole)]


def batch() -> dict[str, Any]:
    """Two rows, one of them of three documents."""
    draw = torch.Generator().manual_seed(0)
    rows = []
    for lengths in ((5, 9, 3), (13,)):
        ids = torch.randint(3, 320, (sum(lengths),), generator=draw).tolist()
        rows.append({"input_ids": ids, "labels": [IGNORED, *ids[1:]], "seq_lengths": list(lengths)})
    return Collator(0, multiple=4)(rows)


def test_the_parts_of_the_peers_are_the_batch_and_no_label_is_lost():
    whole = batch()
    assert whole["input_ids"].shape == (2, 20)
    parts = [Peers(4, rank, None).cut(whole) for rank in range(4)]
    for name in ("input_ids", "position_ids"):
        assert torch.equal(torch.cat([part[name] for part in parts], 1), whole[name])
    assert torch.equal(torch.cat([part["shift_labels"] for part in parts], 1), shift(whole["labels"]))
    assert torch.equal(shift(whole["labels"])[:, :-1], whole["labels"][:, 1:])
    assert all(part["attention_mask"].shape == (2, 1, 20, 20) for part in parts)


def test_documents_see_themselves_alone_and_only_backwards():
    mask = document_mask(torch.tensor([[0, 1, 2, 0, 1, 0]]))
    assert mask is not None and mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]
    assert document_mask(torch.arange(6)[None]) is None


def test_rows_for_kernels_that_take_lengths_are_padded_by_a_document_without_labels():
    rows = [{"input_ids": [5] * 7, "labels": [5] * 7, "seq_lengths": [4, 3]}]
    made = Collator(0, varlen=True, multiple=4)(rows)
    assert made["cu_seq_lens_q"].tolist() == [0, 4, 7, 8]
    assert made["labels"][0, -1] == IGNORED and made["input_ids"].shape == (1, 8)
    part = Peers(4, 1, None).cut(made)
    assert part["cu_seq_lens_q"].tolist() == [0, 4, 7, 8] and "attention_mask" not in part


def test_a_batch_that_cannot_be_cut_is_refused():
    with pytest.raises(ConfigError, match=r"a batch of 20 tokens a row cannot be cut for .*=3; pad its rows"):
        Peers(3, 0, None).cut(batch())


def tiny(**changes: Any) -> Any:
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=64, **changes,
        )
    )  # fmt: skip


LONG = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}


@pytest.mark.parametrize(
    ("changes", "size", "said"),
    [
        ({}, 3, "4 attention heads and 2 key-value heads, which 3 ranks cannot share"),
        ({"rope_parameters": LONG}, 2, "rope_type dynamic"),
        ({"attn_implementation": "eager"}, 2, "attn_implementation=eager"),
    ],
)
def test_a_model_that_ranks_cannot_share_is_refused_before_training(
    changes: dict[str, Any], size: int, said: str
):
    with pytest.raises(ConfigError, match=f"does not work with llama: .*{said}.*sequence_parallel_size=1"):
        check_shareable(tiny(**changes), size)


def test_a_model_with_other_layers_than_full_attention_is_refused_before_training():
    model = tiny()
    model.config.layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(ConfigError, match="layers of linear_attention"):
        check_shareable(model, 2)
    check_shareable(tiny(), 2)
    check_shareable(tiny(), 4)  # each of the two key-value heads twice


def test_a_layer_that_has_not_exchanged_its_tokens_is_noticed():
    peers = Peers(2, 0, None)
    peers.calls = 1
    with pytest.raises(ConfigError, match="1 of its 2 layers use transformers' attention functions"):
        check_layers(tiny(), peers)


def test_what_is_measured_counts_every_token_once(warm, cache, tmp_path):
    """Two ranks that share sequences log the tokens and samples of one rank, and evaluate every row once."""
    found = []
    evaluated = ("data.eval_path=null", "data.eval_fraction=0.1", "trainer.max_steps=4")
    for name, degree in (
        ("one", ()),
        ("two", ("resources.gpus_per_node=2", "strategy.sequence_parallel_size=2")),
    ):
        run = planned(tmp_path / name, cache, "plugin=[lora,sharded_checkpoint]", *evaluated, *degree)
        assert set(warm.run(run.path)["codes"]) == {0}, run.logs()
        found.append(run.metrics())
    one, two = ([line for line in lines if "loss" in line][-1] for lines in found)
    for key in ("tokens", "trained_tokens", "samples", "epoch"):
        assert one[key] == two[key]
    losses = [[line["eval_loss"] for line in lines if "eval_loss" in line] for lines in found]
    assert losses[0] and losses[1] == pytest.approx(losses[0], rel=1e-6)
    assert math.isclose(two["tokens_per_s"], 2 * two["tokens_per_s_per_gpu"], rel_tol=1e-3)
