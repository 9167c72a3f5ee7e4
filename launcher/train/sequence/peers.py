"""The ranks that share each sequence: which part of a batch each of them takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.nn import functional

from launcher.data.mask import IGNORED
from launcher.errors import ConfigError
from launcher.strategies import Degrees

_PER_TOKEN = ("input_ids", "position_ids")


class Peers:
    """The ranks that share a sequence with this one. All of them hold the same batch, and each cuts out its own tokens.

    Labels are shifted before the cut, so that the last token of a part predicts the first one of the next part.
    """

    def __init__(self, size: int, rank: int, group: Any) -> None:
        """`rank` of `size`: this rank's among its peers, in the order of the tokens; `group`: their process group."""
        self.size, self.rank, self.group = size, rank, group
        self.exchanging = False
        """Whether attention exchanges heads for tokens: in training steps and evaluations, but not where a plugin runs the
        model on whole sequences."""
        self.calls = 0
        """Layers that have exchanged since the last cut."""

    def cut(self, batch: dict[str, Any]) -> dict[str, Any]:
        """This rank's tokens of a batch: input_ids, position_ids and shift_labels, each [rows, tokens / size].

        Rows of several documents get their mask, [rows, 1, tokens, tokens], because transformers would make it from this part's
        positions. Kernels that take the lengths of documents get those of the whole rows.
        """
        self.calls = 0
        tokens = batch["input_ids"].shape[1]
        if tokens % self.size:
            raise ConfigError(
                f"a batch of {tokens} tokens a row cannot be cut for strategy.sequence_parallel_size={self.size}; pad its rows "
                "to a multiple of it, as launcher.train.data.packing.Collator does"
            )
        labels = self.cut_tokens(shift(batch["labels"]))
        mask = None if "cu_seq_lens_q" in batch else document_mask(batch["position_ids"])
        others = {name: value for name, value in batch.items() if name not in (*_PER_TOKEN, "labels")}
        return {
            **others,
            **{name: self.cut_tokens(batch[name]) for name in _PER_TOKEN},
            **({} if mask is None else {"attention_mask": mask}),
            "shift_labels": labels,
        }

    def cut_tokens(self, values: torch.Tensor) -> torch.Tensor:
        """This rank's part of [rows, tokens]: [rows, tokens / size]."""
        part = values.shape[1] // self.size
        return values[:, self.rank * part : (self.rank + 1) * part].contiguous()

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """The context in which attention exchanges heads for tokens: both passes, since blocks can be computed again."""
        self.exchanging = True
        try:
            yield
        finally:
            self.exchanging = False


def make_peers(degrees: Degrees, device: str) -> Peers:
    """The peers of this rank. Collective: every rank must call it. `device`: cuda or cpu."""
    shape = (degrees.data_parallel_size, degrees.sequence)
    mesh = init_device_mesh(device, shape, mesh_dim_names=("data", "sequence"))
    return Peers(degrees.sequence, mesh.get_local_rank("sequence"), mesh.get_group("sequence"))


def shift(labels: torch.Tensor) -> torch.Tensor:
    """For every token the label of the next one, [rows, tokens]; that of the last token is ignored."""
    return functional.pad(labels, (0, 1), value=IGNORED)[:, 1:]


def document_mask(position_ids: torch.Tensor) -> torch.Tensor | None:
    """Which token sees which, [rows, 1, tokens, tokens], if a row has several documents; None if causal attention needs no
    mask. Positions begin at 0 in each document."""
    documents = (position_ids == 0).cumsum(1)
    if int(documents.max()) < 2:
        return None
    tokens = position_ids.shape[1]
    same = documents[:, :, None] == documents[:, None, :]
    return (same & torch.ones(tokens, tokens, dtype=torch.bool, device=same.device).tril())[:, None]
