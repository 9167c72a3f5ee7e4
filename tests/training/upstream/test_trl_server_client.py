"""trl's client against a real small server on this machine: weights over gloo, and a server that ends."""

import os
import signal
import time

import pytest

from tests.support.generated import serving
from tests.support.tiny_model import write_tiny

pytestmark = pytest.mark.train
ASKED = {"prompts": [[72, 105], [74, 111, 121]], "n": 2, "max_tokens": 6, "generation_kwargs": {"seed": 5}}


def test_a_server_answers_by_the_weights_that_it_was_sent_and_its_end_is_told_at_once(tmp_path, monkeypatch):
    import torch
    from transformers import AutoModelForCausalLM

    from launcher.train.upstream.trl_server_client import ServerGone, SteadyClient

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # a site's proxy, which does not reach its nodes
    monkeypatch.setenv("NO_PROXY", "example.org")
    one, other = (write_tiny(tmp_path / str(seed), seed=seed, spread=0.3) for seed in (1, 2))
    with serving(one, tmp_path / "log") as (url, process):
        client = SteadyClient(url, None, "cpu")
        client.init_communicator("cpu")
        before = client.generate(**ASKED)
        assert client.generate(**ASKED) == before, "the seed decides what is sampled"
        assert client.generate(**{**ASKED, "generation_kwargs": {"seed": 6}}) != before
        weights = AutoModelForCausalLM.from_pretrained(other, dtype=torch.float32)
        client.update_model_params(weights)
        after = client.generate(**ASKED)
        assert after["completion_ids"] != before["completion_ids"]
        assert after["completion_ids"] == _own(weights, client, after)
        client.update_model_params(AutoModelForCausalLM.from_pretrained(one, dtype=torch.float32))
        assert client.generate(**ASKED) == before
        os.kill(process.pid, signal.SIGKILL)
        begun = time.monotonic()
        with pytest.raises(ServerGone):
            client.generate(**ASKED)
        read: list[str] = []
        metadata = [(name, "float32", list(one.shape)) for name, one in weights.named_parameters()]
        with pytest.raises(ServerGone):
            client.update_named_params(
                metadata, (read.append(name) or (name, one) for name, one in weights.named_parameters())
            )
        assert time.monotonic() - begun < 10, "trl's own session tries again for a minute"
        assert len(read) == len(metadata), "other ranks take part in the gathering of every parameter"
    with pytest.raises(ServerGone):
        SteadyClient(url, None, "cpu")
    assert "127.0.0.1" in os.environ["NO_PROXY"].split(",")


def _own(weights, client, answered) -> list[list[int]]:
    """The ids of which the log probabilities are those of these weights; [] at the first that are not."""
    import torch

    for row, ids in enumerate(answered["completion_ids"]):
        prompt = ASKED["prompts"][row // ASKED["n"]]
        with torch.no_grad():
            logits = weights(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        own = [float(logits[at, token]) for at, token in enumerate(ids)]
        if own != pytest.approx([one[0] for one in answered["logprobs"][row]], abs=1e-4):
            return []
    return answered["completion_ids"]


def test_trls_own_client_neither_comes_to_a_cpu_nor_does_without_vllm(tmp_path):
    from trl.generation.vllm_client import VLLMClient

    with pytest.raises(ImportError, match="vLLM is not installed"):
        VLLMClient(base_url="http://127.0.0.1:1")
