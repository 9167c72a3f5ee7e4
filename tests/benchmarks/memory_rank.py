"""What one rank of a real run holds, in bytes by kind: a plugin that counts tensors and writes measured_RANK.json.

Weights, gradients and optimizer state are counted where the engine keeps them, activations by autograd's saved-tensor hooks;
a checkpointed block's are counted while it is computed again. Each storage counts once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.plugins.base import Plugin

SCALAR = 8  # bytes; Adam's step counters are no state that a plan counts


@dataclass(frozen=True, kw_only=True)
class Measure(Plugin):
    """Measures every step; of each kind the largest counts."""

    def on_trainer(self, trainer: Any) -> Any:
        from transformers import TrainerCallback
        from trl.trainer import utils

        counted = Counted(trainer)
        gather: Any = utils.maybe_gather_lm_head_ctx

        def gather_weights(*tensors: Any) -> Any:
            # hooks hand back an alias of the gathered head, on which DeepSpeed's own marks are missing
            return gather(*(one for one in tensors if one is None or hasattr(one, "ds_status")))

        if trainer.is_deepspeed_enabled:
            utils.maybe_gather_lm_head_ctx = gather_weights
        step = trainer.training_step

        def training_step(*args: Any, **kwargs: Any) -> Any:
            with saved_tensors(counted):
                loss = step(*args, **kwargs)
            if not trainer.is_deepspeed_enabled:
                counted.gradients()
            return loss

        class Callback(TrainerCallback):
            def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                counted.watch_engine()

            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                counted.states()

            def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                path = Path(args.output_dir).parent / f"measured_{os.environ.get('RANK', '0')}.json"
                path.write_text(json.dumps(counted.found))

        trainer.training_step = training_step
        trainer.add_callback(Callback())
        return trainer


class Counted:
    """Bytes by kind of one rank."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.found: dict[str, int] = {}

    def watch_engine(self) -> None:
        """DeepSpeed steps within the backward call: its gradients are counted just before."""
        if not self.trainer.is_deepspeed_enabled:
            return
        engine = self.trainer.deepspeed
        step = engine.step

        def counting(*args: Any, **kwargs: Any) -> Any:
            self.gradients()
            self.most("weights", sum(storages(weight_tensors(self.trainer.model)).values()))
            return step(*args, **kwargs)

        engine.step = counting

    def gradients(self) -> None:
        model, optimizer = self.trainer.model, _zero(self.trainer)
        tensors = [parameter.grad for parameter in model.parameters()]
        for parameters in _fsdp_parameters(model):
            whole = getattr(parameters, "_unsharded_param", None)
            tensors += [parameters.unsharded_accumulated_grad, getattr(whole, "grad", None)]
        if optimizer is not None:
            tensors += [getattr(parameter, "grad_accum", None) for parameter in model.parameters()]
            for name in ("averaged_gradients", "all_grad_tensors"):
                held = getattr(optimizer, name, {}).values()
                tensors += [tensor for some in held for tensor in some or []]
            tensors.append(getattr(optimizer, "grad_partitions_flat_buffer", None))
        self.most("gradients", sum(storages(tensors).values()))

    def states(self) -> None:
        weights = storages(weight_tensors(self.trainer.model))
        zero = _zero(self.trainer)
        base = zero.optimizer if zero is not None else self.trainer.optimizer
        while hasattr(base, "optimizer"):
            base = base.optimizer
        tensors = [tensor for state in base.state.values() for tensor in state.values()]
        for name in ("single_partition_of_fp32_groups", "fp32_partitioned_groups_flat"):
            tensors += getattr(zero, name, [])
        state = {key: size for key, size in storages(tensors).items() if key not in weights and size > SCALAR}
        self.most("weights", sum(weights.values()))
        self.most("optimizer", sum(state.values()))

    def most(self, kind: str, size: int) -> None:
        """Keeps the largest of all steps."""
        self.found[kind] = max(size, self.found.get(kind, 0))


@contextmanager
def saved_tensors(counted: Counted) -> Iterator[None]:
    """Counts what autograd saves within, and what the largest checkpointed block saves when it is computed again.

    Weights are left out, and gathered or cast copies of them (by their shape), which a plan counts as buffers.
    """
    import torch
    from torch.utils import checkpoint

    model = counted.trainer.model
    saved: dict[int, int] = {}
    alive: list[torch.Tensor] = []  # so that no address is used twice
    again: list[dict[int, int]] = []
    shapes = {tuple(dims) for one in model.parameters() for dims in (one.shape, one.shape[::-1])}
    shapes |= {
        (width, width) for one in model.parameters() for width in one.shape if one.dim() == 2
    }  # DoRA's, for a moment
    vocabulary = model.config.get_text_config().vocab_size

    def keep(kept: dict[int, int], tensor: torch.Tensor) -> None:
        if tuple(tensor.shape) in shapes or tensor.shape[-1:] == (
            vocabulary,
        ):  # logits are a kind of their own
            return
        own = {local(one).untyped_storage().data_ptr() for one in model.parameters()}
        for pointer, size in storages([tensor]).items():
            if pointer not in own and pointer not in saved:
                kept[pointer] = size

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        keep(saved, tensor)
        alive.append(tensor)
        return tensor

    plain = checkpoint._recomputation_hook

    class Recomputed(plain):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            block: dict[int, int] = {}
            again.append(block)
            inner = self.pack_hook

            def both(tensor: torch.Tensor) -> Any:
                keep(block, tensor)
                return inner(tensor)

            self.pack_hook = both

    checkpoint._recomputation_hook = Recomputed
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield
    finally:
        checkpoint._recomputation_hook = plain
    largest = max((sum(block.values()) for block in again), default=0)
    counted.most("activations", sum(saved.values()) + largest)


def storages(tensors: Iterable[Any]) -> dict[int, int]:
    """Bytes of each storage of these tensors, by its address."""
    import torch

    found: dict[int, int] = {}
    for tensor in tensors:
        if isinstance(tensor, torch.Tensor):
            storage = local(tensor).untyped_storage()
            if storage.nbytes():
                found[storage.data_ptr()] = storage.nbytes()
    return found


def local(tensor: Any) -> Any:
    """This rank's part of a tensor."""
    return getattr(tensor, "_local_tensor", tensor)


def weight_tensors(model: Any) -> Iterator[Any]:
    """This rank's weights, the second copy of them that ZeRO-3 can keep, and the constants of 4-bit ones."""
    for parameter in model.parameters():
        yield getattr(parameter, "ds_tensor", parameter)
        yield getattr(parameter, "ds_secondary_tensor", None)
    for module in model.modules():
        state = getattr(module, "quant_state", None) or getattr(
            getattr(module, "weight", None), "quant_state", None
        )
        for part in (state, getattr(state, "state2", None)):
            if part is not None:
                yield from (part.absmax, part.code, part.offset)


def _zero(trainer: Any) -> Any:
    """DeepSpeed's ZeRO optimizer; None without it."""
    return trainer.deepspeed.optimizer if trainer.is_deepspeed_enabled else None


def _fsdp_parameters(model: Any) -> Iterator[Any]:
    for module in model.modules():
        state = getattr(module, "_get_fsdp_state", lambda: None)()
        groups = getattr(state, "_fsdp_param_groups", None) or [getattr(state, "_fsdp_param_group", None)]
        for group in groups:
            yield from group.fsdp_params if group is not None else ()
