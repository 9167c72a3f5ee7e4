"""trl 1.16: its GRPO trainer with a server that generates, which can end and come back while the ranks wait.

Symptoms: VLLMGeneration connects once, at an address that the arguments name before anything runs. When its server ends, rank 0
raises while the others wait for it in a broadcast. It does not report for how long it waits. It merges an
adapter into the weights and takes it out again for every sending (`merge_adapter`, `unmerge_adapter`), which changes the frozen
weights by a rounding each time, so that a resumed run differs from an undisturbed one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from trl.generation import vllm_generation
from trl.trainer import grpo_trainer

from launcher.output import say
from launcher.train.generation import GenerationService
from launcher.train.upstream.trl_server_client import ServerGone, SteadyClient

_NO_ANSWERS = {"prompt_ids": [], "completion_ids": [], "logprobs": None, "logprob_token_ids": None}
"""What rank 0 gives to all ranks in place of answers if the server has ended."""


class SteadyGeneration(vllm_generation.VLLMGeneration):
    """trl's generation by a server; all ranks wait for another server if theirs has ended."""

    service: GenerationService

    def _init_vllm(self) -> None:
        self._own_options = dict(self.generation_kwargs)
        self._ended = False
        """Whether rank 0 knows that the server has ended."""
        self._connect()
        self.accelerator.wait_for_everyone()

    def _connect(self) -> None:
        if not self.accelerator.is_main_process:
            return
        while True:
            at = self.service.wait()
            try:
                client = SteadyClient(at.url, self.service.ports, self.accelerator.device)
                client.init_communicator(self.accelerator.device)
            except ServerGone as error:
                say(f"the generation server at {at.url} has ended ({error}); waiting for another one")
                continue
            self.vllm_client, self._ended = _Guarded(client, self), False
            return

    def sync_weights(self) -> None:
        """Sends the weights. If the server ends meanwhile, `generate` connects to another one."""
        with self.service.waiting():
            super().sync_weights()

    def generate(self, prompts: Any, images: Any, num_generations: int, profiler: Any = None) -> Any:
        """The answers. trl's function returns none on every rank only if the server has ended; then another one is asked."""
        self.generation_kwargs = {"seed": self.service.seed(), **self._own_options}
        with self.service.waiting():
            while True:
                found = super().generate(prompts, images, num_generations, profiler)
                if found[1] or not prompts:
                    return found
                self._connect()
                super().sync_weights()

    def _iter_named_params(self) -> Iterator[tuple[str, torch.Tensor]]:
        model = self.model
        if not vllm_generation.is_peft_model(model):
            yield from super()._iter_named_params()
            return
        layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}
        for name, parameter in model.named_parameters():
            if model.prefix in name or "original_module" in name:
                continue
            layer = (
                layers.get(name.rpartition(".base_layer.")[0]) if name.endswith("base_layer.weight") else None
            )
            value = parameter.data
            if layer is not None:
                for adapter in layer.active_adapters:
                    if adapter in layer.lora_A or adapter in layer.lora_embedding_A:
                        value = value + layer.get_delta_weight(adapter).to(value.dtype)
            plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
            yield self._fix_param_name_to_vllm(plain, extra_prefixes=["modules_to_save.default."]), value


class _Guarded:
    """A client that does not raise if the server has ended: it reports that, and does nothing more."""

    def __init__(self, client: SteadyClient, generation: SteadyGeneration) -> None:
        self._client, self._generation = client, generation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def generate(self, **options: Any) -> Any:
        """The answers; none if the server has ended."""
        return self._try(lambda: self._client.generate(**options), _NO_ANSWERS)

    def update_named_params(self, metadata: Any, named_params: Iterator[Any]) -> None:
        """Sends all weights. All are read even if the server has ended, because the other ranks take part in gathering them."""
        self._try(lambda: self._client.update_named_params(metadata, named_params), None)
        for _ in named_params:
            pass

    def reset_prefix_cache(self) -> None:
        """The same as the client's."""
        self._try(self._client.reset_prefix_cache, None)

    def _try(self, act: Any, otherwise: Any) -> Any:
        if self._generation._ended:
            return otherwise
        try:
            return act()
        except ServerGone as error:
            say(
                f"the generation server at {self._client.base_url} has ended ({error}); waiting for another one"
            )
            self._generation._ended = True
            return otherwise


@contextmanager
def generated_by(service: GenerationService | None) -> Iterator[None]:
    """Within the context, a GRPO trainer is made that generates by this server; None changes nothing."""
    own = grpo_trainer.VLLMGeneration
    if service is not None:
        grpo_trainer.VLLMGeneration = type("SteadyGeneration", (SteadyGeneration,), {"service": service})
    try:
        yield
    finally:
        grpo_trainer.VLLMGeneration = own
