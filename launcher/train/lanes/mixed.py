"""One forward and backward pass over the rows of all lanes: frozen layers run once, and each lane's rows get its adapter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.nn import functional

from launcher.data.mask import IGNORED
from launcher.train.kept_positions import KeptPositions, trained_positions
from launcher.train.lanes.lane import Lane
from launcher.train.lanes.resident import with_same_tensors
from launcher.train.sequence.peers import shift
from launcher.train.upstream.transformers_model_facts import attention_of


@dataclass(slots=True)
class RowOwners:
    """Which rows of the batch belong to which lane. It is set before a forward pass and kept until its backward pass has ended,
    in which gradient checkpointing runs the forward pass again."""

    spans: Sequence[tuple[int, int, int]] = ()
    """(number of the lane, its first row, the row after its last)."""


class SharedLayer(nn.Module):
    """A frozen layer with the adapters of several lanes."""

    def __init__(self, base: nn.Module, rows: RowOwners) -> None:
        super().__init__()
        self.base, self.rows = base, rows
        self.adapters: dict[int, Any] = {}
        """Number of the lane -> peft's layer with its adapter, which is trained in the lane's own model."""

    def forward(self, x: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        """The frozen layer's output over all rows, plus each lane's term on its own rows."""
        y = self.base(x, *arguments, **options)
        parts: list[torch.Tensor] = []
        for number, first, last in self.rows.spans:
            layer = self.adapters.get(number)
            mine = y[first:last]
            if layer is not None:
                (name,) = layer.active_adapters
                a, b = layer.lora_A[name], layer.lora_B[name]
                term = b(a(x[first:last].to(a.weight.dtype))) * layer.scaling[name]
                mine = mine + term.to(y.dtype)
            parts.append(mine)
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class Mixed:
    """The joint model of all lanes."""

    def __init__(self, lane: Lane) -> None:
        """Its modules are those of a lane's model, so that plugins have changed them in the same way."""
        self.model = with_same_tensors(lane.inner)
        # trl 1.16's fused head is a forward of the lane's own model, which the copy would call
        vars(self.model).pop("forward", None)
        self.rows = RowOwners()
        self._head = KeptPositions(self.model)
        self._pad = lane.tokenizer.pad_token_id
        for path, layer in _adapted(self.model):
            self.model.set_submodule(path, SharedLayer(layer.base_layer, self.rows))
        self.model.train()

    def add(self, lane: Lane) -> None:
        """Adds a lane's adapter."""
        for path, layer in _adapted(lane.inner):
            found = self.model.get_submodule(path)
            if not isinstance(found, SharedLayer):
                found = SharedLayer(found, self.rows)
                self.model.set_submodule(path, found)
            found.adapters[lane.order.number] = layer

    def remove(self, lane: Lane) -> None:
        """Removes a lane's adapter."""
        for module in self.model.modules():
            if isinstance(module, SharedLayer):
                module.adapters.pop(lane.order.number, None)

    def compute_gradients(self, lanes: Sequence[tuple[Lane, list[Any], Any]]) -> None:
        """Adds the gradients of a step to every lane's adapter. Each lane comes with its micro-batches and trained tokens."""
        for turn in range(max(len(batches) for _, batches, _ in lanes)):
            now = [(lane, batches[turn], items) for lane, batches, items in lanes if turn < len(batches)]
            losses = self._losses(now)
            torch.stack(losses).sum().backward()  # a lane's rows see only its own adapter
            self.rows.spans = ()
            for (lane, inputs, _), loss in zip(now, losses, strict=True):
                lane.trainer.add(loss.detach(), inputs)

    def _losses(self, lanes: Sequence[tuple[Lane, Any, Any]]) -> list[torch.Tensor]:
        trainer = lanes[0][0].trainer
        batches = [trainer.prepared(inputs) for _, inputs, _ in lanes]
        inputs, labels = _stacked(batches, self._pad)
        spans, kept, targets, first = [], [], [], 0
        for (lane, _, _), mine in zip(lanes, labels, strict=True):
            spans.append((lane.order.number, first, first + len(mine)))
            targets.append(shift(mine).flatten())
            kept.append(trained_positions(targets[-1]) + first * mine.shape[1])
            first += len(mine)
        self.rows.spans = spans
        with trainer.accelerator.autocast(), self._head.only(torch.cat(kept)):
            logits = self.model(**inputs, use_cache=False).logits[0]
        found: list[torch.Tensor] = []
        for (lane, _, items), own, where, rows in zip(lanes, targets, kept, spans, strict=True):
            mine, logits = logits[: len(where)], logits[len(where) :]
            wanted = own[where - rows[1] * labels[0].shape[1]]
            total = functional.cross_entropy(mine.float(), wanted, ignore_index=IGNORED, reduction="sum")
            loss = lane.trainer.mean_of(total, own, items)
            found.append(lane.trainer.for_backward(loss, items))
        return found


def why_not_mixed(lane: Lane) -> str | None:
    """Why the rows of this lane's model cannot be mixed with those of others, as words after a colon; None if they can."""
    config = lane.inner.config.get_text_config()
    values = config.to_dict()
    dropout = next((name for name in values if ("dropout" in name or "pdrop" in name) and values[name]), None)
    if dropout:
        return f"{dropout}={getattr(config, dropout)} of the model draws its masks from one generator"
    if isinstance(lane.inner.get_output_embeddings(), LoraLayer):
        return "its adapter is on the head, of which only trained tokens are computed"
    if lane.trainer.routers is not None:
        return "the routers of its experts would be read over the rows of all trials"
    if "flash" in attention_of(lane.inner):
        return "the attention kernel takes all rows as one"
    return None


def _adapted(model: Any) -> list[tuple[str, LoraLayer]]:
    return [(name, one) for name, one in model.named_modules() if isinstance(one, LoraLayer)]


def _stacked(batches: Sequence[Any], pad: int) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """The rows of all batches as one batch, and each batch's labels, padded on the right to the longest row."""
    longest = max(batch["input_ids"].shape[1] for batch in batches)
    ids, positions, labels = [], [], []
    for batch in batches:
        more = longest - batch["input_ids"].shape[1]
        ids.append(functional.pad(batch["input_ids"], (0, more), value=pad))
        labels.append(functional.pad(batch["labels"], (0, more), value=IGNORED))
        further = batch["position_ids"][:, -1:] + torch.arange(1, more + 1, device=ids[-1].device)
        positions.append(torch.cat([batch["position_ids"], further], 1))
    return {"input_ids": torch.cat(ids), "position_ids": torch.cat(positions)}, labels
