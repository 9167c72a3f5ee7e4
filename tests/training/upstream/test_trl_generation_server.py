"""trl's generation by a server, of which the second takes the first one's place, on one rank against real servers."""

import importlib
import os
import signal
import types
from pathlib import Path
from typing import Any

import pytest

from launcher.errors import RunError
from launcher.plan.generation import Generation
from launcher.protocol.to_agent import ServerAt
from launcher.train.generation import GenerationService
from tests.support.generated import serving
from tests.support.tiny_model import write_tiny

pytestmark = pytest.mark.train
PROMPTS = [[72, 105], [72, 105], [74, 111], [74, 111]]


def service(*at: ServerAt, timeout_s: float = 60.0, step: int = 3) -> GenerationService:
    """What a rank knows whose agent has told it of these servers, one after the other."""
    generation = Generation(
        mode="server", nodes=0, gpus=1, tensor_parallel_size=1, gpu_memory_utilization=0.9, env={}, restarts=0,
        command=("serve",), start_timeout_s=timeout_s, weights_gib=None, answer_gib=None,
    )  # fmt: skip
    told = list(at)
    heartbeat: Any = types.SimpleNamespace(server=lambda: told.pop(0) if told else None)
    made = GenerationService(generation, heartbeat, seed=0, ports=None)
    made.step = lambda: step
    return made


def generation(model: Any, own: GenerationService) -> Any:
    from accelerate import Accelerator

    from launcher.train.upstream.trl_generation_server import generated_by

    trainer: Any = importlib.import_module("trl.trainer.grpo_trainer")
    before = trainer.VLLMGeneration
    with generated_by(own):
        kind = trainer.VLLMGeneration
    assert trainer.VLLMGeneration is before
    return kind(model, Accelerator(cpu=True), None, mode="server", max_completion_length=6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "model", seed=1, spread=0.3)


def test_answers_go_on_after_a_server_has_ended_with_the_weights_of_the_ranks(folder, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)  # training has changed what the server was started with
    with (
        serving(folder, tmp_path / "log") as (first, process),
        serving(folder, tmp_path / "log") as (second, _),
    ):
        own = service(
            ServerAt(serial=1, url=first), ServerAt(serial=1, url=first), ServerAt(serial=2, url=second)
        )
        found = generation(model, own)
        found.sync_weights()
        before = found.generate(PROMPTS, None, 2)
        assert [len(ids) > 0 for ids in before[1]] == [True] * 4
        os.kill(process.pid, signal.SIGKILL)
        found.sync_weights()  # rank 0 learns that the server has ended, and the other ranks do not
        assert found.generate(PROMPTS, None, 2) == before
        assert own.serial == 2 and own.waited_s > 0
        assert set(own.figures()) == {"generation_wait_s", "generation_wait_share"}
        assert found.generate(PROMPTS, None, 2) == before
        own.step = lambda: 4
        assert found.generate(PROMPTS, None, 2)[1] != before[1], "each step has a seed of its own"


def test_an_adapter_is_added_to_what_is_sent_and_not_to_the_frozen_weights(folder, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    from trl.generation.vllm_generation import VLLMGeneration

    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        LoraConfig(r=4, target_modules="all-linear"),
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    frozen = {name: one.clone() for name, one in model.named_parameters()}
    with serving(folder, tmp_path / "log") as (url, _):
        found = generation(model, service(ServerAt(serial=1, url=url)))
        found.sync_weights()
        ours = {name: one.clone() for name, one in found._iter_named_params()}
    assert all(torch.equal(frozen[name], one) for name, one in model.named_parameters())
    theirs = {name: one.clone() for name, one in VLLMGeneration._iter_named_params(found)}
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)
    assert not all(torch.equal(frozen[name], one) for name, one in model.named_parameters()), (
        "trl gives the frozen weights back as they were: the patch can go"
    )


def test_a_rank_that_hears_of_no_server_says_so():
    with pytest.raises(
        RunError, match=r"no generation server has answered within 0\.2 s; its log is in logs/"
    ):
        service(timeout_s=0.2).wait()
