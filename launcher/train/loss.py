"""The loss of supervised training: the mean over all trained tokens of the global batch."""

from typing import Any

import torch
import torch.distributed as dist
from torch.nn import functional
from torch.utils.data import DataLoader

from launcher.data.mask import IGNORED
from launcher.train.experts import Routers, find_routers
from launcher.train.kept_positions import KeptPositions, trained_positions
from launcher.train.sequence.attention import check_layers
from launcher.train.sequence.peers import shift
from launcher.train.sequence.steps import SharedSteps
from launcher.train.upstream.trl_fused_head import is_head_fused


class PlainLoss(SharedSteps):
    """A mixin before trl's SFTTrainer.

    trl's own loss reads the head's weights in tiles and measures entropy and accuracy in every step. On a GPU with Triton
    those are single kernels, and trl's loss is used. Elsewhere they are many passes over [tokens, vocabulary], and the head is
    computed twice (three times as slow on CPU cores); this class then computes the head once, and only at trained tokens.
    """

    routers: Routers | None = None
    """The routers of a mixture of experts that are read; None for any other model."""
    _head: "KeptPositions | None" = None
    _sums: "torch.Tensor | None" = None

    def read_routers(self: Any, plan: Any, coefficient: float) -> None:
        """Reads the routers of a mixture of experts, and adds their loss with this weight. ConfigError as in find_routers."""
        if self.args.torch_compile:  # rule 31 refuses the coefficient
            return
        self.routers = find_routers(self.model, plan.batch.micro_batch_size, coefficient)
        self.data_collator.numbers_rows = self.routers is not None

    def compute_loss(
        self: Any, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of the tokens, and that of the routers if it has a weight: the mean over the rows of the global batch."""
        if "row_numbers" not in inputs:
            return self.token_loss(model, inputs, return_outputs, num_items_in_batch)
        inputs = dict(inputs)
        numbers = inputs.pop("row_numbers")
        if not self.model.training or num_items_in_batch is None:
            return self.token_loss(model, inputs, return_outputs, num_items_in_batch)
        if self.peers is not None:
            numbers = self.peers.cut_tokens(numbers)
        with self.routers.reading():
            loss = self.token_loss(model, inputs, return_outputs, num_items_in_batch)
        balance = self.routers.balance(numbers)
        if balance is None:
            return loss
        share = self.routers.coefficient * self.per_rank / self.plan.batch.global_batch_size
        return loss + share * balance

    def token_loss(
        self: Any, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The sum of the losses of this micro-batch's trained tokens, divided by `num_items_in_batch` (of the global batch).

        Where ranks share the sequences, it is that of this rank's tokens.
        """
        if self.peers is None:
            targets = shift(inputs["labels"]).flatten()
        else:
            inputs = self.peers.cut(inputs)
            targets = inputs["shift_labels"].flatten()
        if return_outputs or self.aux_loss_enabled or is_head_fused(inputs["input_ids"].device):
            loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # pyright: ignore
            if not self.model.training and not return_outputs:
                self._add(loss.detach() * (targets != IGNORED).sum(), targets)
            self._check_exchange()
            return loss
        inputs = {name: value for name, value in inputs.items() if name not in ("labels", "shift_labels")}
        where = trained_positions(targets)
        logits = self.logits_at(model, inputs, where)
        self._check_exchange()
        total = functional.cross_entropy(
            logits.float(), targets[where], ignore_index=IGNORED, reduction="sum"
        )
        if not self.model.training:
            self._add(total.detach(), targets)
        return self.mean_of(total, targets, num_items_in_batch)

    def mean_of(self: Any, total: torch.Tensor, targets: torch.Tensor, items: Any) -> torch.Tensor:
        """The sum of a micro-batch's losses divided by the number of trained tokens: `items` of the global batch, or those of
        the micro-batch if it is None."""
        count = (targets != IGNORED).sum() if items is None else items
        loss = total / torch.as_tensor(count, device=total.device).clamp(min=1)
        return loss if items is None else loss * self.per_rank

    @property
    def per_rank(self: Any) -> float:
        """The factor of a rank's part of a sum over all ranks: gradients are averaged over ranks, not added."""
        if not self.args.average_tokens_across_devices:
            return 1
        return self.plan.strategy.averaged_over(self.plan.degrees)

    def logits_at(self: Any, model: Any, inputs: Any, kept: torch.Tensor) -> torch.Tensor:
        """Logits of the trained model at the kept positions of the flattened batch, [kept, vocabulary]."""
        inputs["use_cache"] = False  # with a cache, packed documents would see each other
        if self.args.torch_compile:  # its graphs have fixed shapes
            return model(**inputs).logits.flatten(0, 1)[kept]
        if self._head is None:
            self._head = KeptPositions(self.model)
        with self._head.only(kept):
            return model(**inputs).logits[0]

    def _check_exchange(self: Any) -> None:
        if self.peers is not None:
            check_layers(self.model, self.peers)

    def _add(self: Any, total: torch.Tensor, targets: torch.Tensor) -> None:
        sums = torch.stack([total.double(), (targets != IGNORED).sum().double()])
        self._sums = sums if self._sums is None else self._sums + sums

    def get_eval_dataloader(self: Any, eval_dataset: Any = None) -> DataLoader:
        """A loader with every row once over all ranks."""
        return self.every_row_once(eval_dataset)

    def evaluation_loop(self: Any, *arguments: Any, **options: Any) -> Any:
        """The evaluation, whose loss is the mean over all tokens; the Trainer's is the mean over batches."""
        self._sums = None
        output = super().evaluation_loop(*arguments, **options)  # pyright: ignore
        if self._sums is not None:
            if dist.is_initialized() and dist.get_world_size() > 1:
                dist.all_reduce(self._sums)
            total, count = self._sums.tolist()
            key = f"{options.get('metric_key_prefix', 'eval')}_loss"
            output.metrics[key] = total / max(count, 1)
        return output
