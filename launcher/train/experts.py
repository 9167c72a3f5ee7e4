"""Mixtures of experts: how evenly the routers of a model spread tokens over its experts, as a figure and as a loss."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from launcher.errors import ConfigError
from launcher.train.upstream.transformers_model_facts import router_classes


class Routers:
    """The routers of a model, whose choices are read by hooks in training passes.

    The loss of a row is that of Switch Transformers (Fedus et al., arXiv 2101.03961, equations 4 to 6), as transformers has it
    for a batch of one row: experts * sum over experts of (share of choices * mean probability), both over the row's tokens in
    all blocks. It is computed for each row, as in DeepSeek-V3 (arXiv 2412.19437, section 2.1.2), because the loss of several
    rows together is not the sum of theirs: it would depend on the size of the micro-batch and on the number of ranks.
    """

    def __init__(self, routers: list[nn.Module], experts: int, rows: int, coefficient: float) -> None:
        """`experts` of a block; `rows` of a micro-batch at most; `coefficient`: weight of the loss, 0 for none."""
        self.experts, self.rows, self.coefficient = experts, rows, coefficient
        self._reading = False
        self._read: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._chosen = torch.zeros(len(routers), experts, dtype=torch.float64)
        """Choices of each expert of each block since the last log, on this rank."""
        self._losses = torch.zeros(2, dtype=torch.float64)
        """Sum of the rows' losses since the last log, and number of rows, on this rank."""
        for router in routers:
            router.register_forward_hook(self._keep)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within it the routers' outputs of one forward pass are kept. A pass that computes activations again is not read."""
        self._read, self._reading = [], True
        try:
            yield
        finally:
            self._reading = False

    def count_passes_of(self, decoder: nn.Module) -> None:
        """Counts the choices of every training pass of the decoder, for a trainer whose loss is upstream's.

        A training pass is one with gradients in training mode: not that of a reference model, nor one that generates an answer.
        Tokens that the mask [rows, tokens] leaves out are not counted.
        """
        decoder.register_forward_pre_hook(self._begin_pass)
        decoder.register_forward_hook(self._end_pass, with_kwargs=True)

    def _begin_pass(self, decoder: nn.Module, arguments: Any) -> None:
        self._read, self._reading = [], decoder.training and torch.is_grad_enabled()

    def _end_pass(self, decoder: nn.Module, arguments: Any, options: Any, output: Any) -> None:
        read, self._reading = self._reading, False
        if not read or not self._read:
            return
        mask, (logits, _) = options.get("attention_mask"), self._read[0]
        inside = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
        if isinstance(mask, torch.Tensor) and mask.numel() == len(logits):
            inside = mask.flatten().bool()
        self.balance(torch.where(inside, 0, -1))

    def _keep(self, router: nn.Module, arguments: Any, output: Any) -> None:
        # no operation here: within a checkpointed block it would be missing when the block is computed again
        if self._reading:
            self._read.append((output[0], output[-1]))

    def balance(self, row_numbers: torch.Tensor) -> torch.Tensor | None:
        """The sum of the losses of the rows of the pass that was read; None without a coefficient. Counts choices in any case.

        `row_numbers`: each token's row in the micro-batch, [rows, tokens]; -1 for padding.
        """
        rows = row_numbers.flatten()
        inside = (rows >= 0).float()
        at = rows.clamp(min=0)
        shape = (self.rows, self.experts)
        chosen = torch.zeros(shape, device=rows.device)
        probable = torch.zeros(shape, device=rows.device)
        self._chosen, self._losses = self._chosen.to(rows.device), self._losses.to(rows.device)
        for block, (logits, indices) in enumerate(self._read):
            with torch.no_grad():
                each = torch.zeros(self.rows * self.experts, device=rows.device)
                where = (at[:, None] * self.experts + indices).flatten()
                each.index_add_(0, where, inside.repeat_interleave(indices.shape[-1]))
                chosen += each.view(shape)
                self._chosen[block] += each.view(shape).sum(0)
            if self.coefficient:
                shares = logits.float().softmax(-1) * inside[:, None]
                probable = probable.index_add(0, at, shares)
        blocks, self._read = len(self._read), []
        if not self.coefficient:
            return None
        tokens = torch.zeros(self.rows, device=rows.device).index_add(0, at, inside)
        over = (tokens * blocks).clamp(min=1)[:, None]
        loss = self.experts * ((chosen / over) * (probable / over)).sum()
        self._losses += torch.stack([loss.detach().double(), (tokens > 0).sum().double()])
        return loss

    def figures(self) -> dict[str, float]:
        """The load of the busiest expert and the mean loss of a row since the last call, over all ranks. Collective."""
        sums = torch.cat([self._chosen.flatten(), self._losses])
        if dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(sums)
        chosen, (loss, rows) = sums[:-2].view_as(self._chosen).cpu(), sums[-2:].tolist()
        self._chosen.zero_()
        self._losses.zero_()
        even = chosen.mean(1).clamp(min=1e-12)
        found = {"expert_load": round(float((chosen.max(1).values / even).max()), 4)}
        return found | ({"router_aux_loss": loss / rows} if rows else {})


def count_choices(model: Any) -> Routers | None:
    """The routers of a mixture of experts whose choices are counted from now on; None for any other model."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder = base.get_decoder() if hasattr(base, "get_decoder") else None
    found = find_routers(base, 1, 0.0) if decoder is not None else None
    if found is not None:
        found.count_passes_of(decoder)
    return found


def find_routers(model: Any, rows: int, coefficient: float) -> Routers | None:
    """The routers of a mixture of experts; None for any other model, and for routers that do not tell their choices.

    ConfigError for a coefficient where there are none. A router that transformers can record returns logits, weights and the
    numbers of the chosen experts, each [tokens, ...].
    """
    recorded = router_classes(model)
    found = [module for module in model.modules() if type(module) in recorded and hasattr(module, "top_k")]
    experts = {getattr(module, "num_experts", None) for module in found}
    if found and len(experts) == 1 and isinstance(number := experts.pop(), int):
        return Routers(found, number, rows, coefficient)
    if coefficient:
        kind = getattr(model.config, "model_type", type(model).__name__)
        raise ConfigError(
            f"trainer.router_aux_loss_coef={coefficient:g} does not work with {kind}, which has no routers that tell "
            "transformers their choices; use trainer.router_aux_loss_coef=null"
        )
    return None
