"""Perplexity on general text; each rank reads its share of the paragraphs."""

import math
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from launcher.errors import ConfigError, Forgot
from launcher.plugins.on_rank.agree import sums
from launcher.resources import resource_dir


class Forgetting(TrainerCallback, ExportableState):
    """Measures before, during and after training. Every checkpoint contains the value before training."""

    def __init__(
        self,
        trainer: Any,
        *,
        text_path: str | None,
        every_steps: int,
        max_increase: float | None,
        max_length: int,
    ) -> None:
        self.trainer, self.text_path, self.every_steps = trainer, text_path, every_steps
        self.max_increase, self.max_length = max_increase, max_length
        self.before: float | None = None
        self._texts: list[list[int]] = []

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint's trainer_state.json."""
        return {"args": {}, "attributes": {"before": self.before}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measures the perplexity before training; a resumed run takes it from its checkpoint."""
        self._texts = self._read()
        known = state.stateful_callbacks.get(type(self).__name__) if state.global_step else None
        if known:
            self.before = known["attributes"]["before"]
        elif state.global_step == 0:
            self._measure("before", args, state)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measures the perplexity during training."""
        if (
            self.every_steps
            and state.global_step % self.every_steps == 0
            and state.global_step < state.max_steps
        ):
            self._measure("during", args, state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measures the perplexity after training, unless the ranks shut down before its end."""
        if state.global_step >= state.max_steps:
            self._measure("after", args, state)

    def _measure(self, when: str, args: Any, state: Any) -> None:
        perplexity = self._perplexity(args)
        if self.before is None:
            self.before = perplexity
        ratio = perplexity / self.before
        facts = {"perplexity": round(perplexity, 4), "increase": round(ratio, 4)}
        self.trainer.note("general", when=when, step=state.global_step, **facts)
        self.trainer.measured(general_perplexity=facts["perplexity"])
        if self.max_increase is not None and not ratio <= self.max_increase:
            raise Forgot(
                f"the perplexity of the general text is {perplexity:.4g} at step {state.global_step}, {ratio:.3g} times the "
                f"{self.before:.4g} before training and more than plugins.forgetting_guard.max_increase={self.max_increase:g}; "
                "lower trainer.learning_rate, add general data, or resume from an earlier checkpoint"
            )

    def _perplexity(self, args: Any) -> float:
        """exp of the mean loss over all tokens except the first one of each paragraph."""
        model = self.trainer.model_wrapped
        degrees = self.trainer.plan.degrees  # ranks that share a sequence measure the same text
        rank, ranks = degrees.data_parallel_rank(args.process_index), degrees.data_parallel_size
        rounds = -(-len(self._texts) // ranks)
        training = model.training
        model.eval()
        total = count = 0.0
        with torch.no_grad(), self.trainer.compute_loss_context_manager():
            for turn in range(
                rounds
            ):  # the same number on every rank, because all of them gather sharded weights
                index = turn * ranks + rank
                loss, tokens = self._loss(model, self._texts[index % len(self._texts)], args.device)
                if index < len(self._texts):
                    total, count = total + loss, count + tokens
        model.train(training)
        total, count = sums([total, count], args.device)
        return math.exp(min(total / count, 700.0))

    def _loss(self, model: Any, ids: list[int], device: Any) -> tuple[float, int]:
        inputs = torch.tensor([ids], device=device)
        logits = model(input_ids=inputs, attention_mask=torch.ones_like(inputs), use_cache=False).logits
        if logits.dim() != 3:
            raise ConfigError(
                "plugins.forgetting_guard needs a model that predicts tokens; remove it from plugin=[...]"
            )
        loss = torch.nn.functional.cross_entropy(logits[0, :-1].float(), inputs[0, 1:], reduction="sum")
        return float(loss), len(ids) - 1

    def _read(self) -> list[list[int]]:
        path = (
            resource_dir("conf") / "data" / "general" / "general.txt"
            if self.text_path is None
            else _first_file(self.trainer.plan.facts.files(self.text_path))
        )
        try:
            paragraphs = [
                text.strip() for text in path.read_text(encoding="utf-8").split("\n\n") if text.strip()
            ]
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"plugins.forgetting_guard.text_path={path} cannot be read on this node ({error}); put it on the shared file "
                "system, as UTF-8 text, or use text_path=null for the shipped text"
            ) from None
        tokenizer = self.trainer.processing_class
        encoded = [
            tokenizer(text, truncation=True, max_length=self.max_length)["input_ids"] for text in paragraphs
        ]
        texts = [ids for ids in encoded if len(ids) > 1]
        if not texts:
            raise ConfigError(
                f"plugins.forgetting_guard.text_path={path} holds no paragraph of two tokens or more; separate paragraphs with "
                "blank lines, or use text_path=null for the shipped text"
            )
        return texts


def _first_file(paths: list[str]) -> Path:
    """The first path that exists, else the last one."""
    return next((Path(one) for one in paths if Path(one).is_file()), Path(paths[-1]))
