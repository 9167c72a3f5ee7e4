"""Callbacks that record a run during training: metrics, events, a sample answer."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from launcher import errors
from launcher.methods.registry import find_method
from launcher.plan import LaunchPlan
from launcher.plan.trainer import few_steps
from launcher.run import RunDir, now
from launcher.run.events import Event
from launcher.run.events.ranks import Diverged, Training, Working
from launcher.run.events.results import Evaluated, Sample
from launcher.run.metrics import Evaluation, Logged
from launcher.train.experts import Routers
from launcher.train.tally import FIGURES, RowSums, Tally, peak_memory_gib, perplexity

_RECENT, _ENOUGH = 64, 20
"""Number of newest logged losses with which a new loss is compared, and the least number for a comparison."""
_LEAST_SPIKE = 0.5
"""The smallest rise that counts as a spike, because near zero a doubled loss means nothing."""


class Recorder(TrainerCallback, ExportableState):
    """Writes metrics.jsonl and events.jsonl on rank 0."""

    def __init__(
        self,
        run: RunDir,
        plan: LaunchPlan,
        attempt: int,
        is_main: bool,
        spike: float | None,
        peak_tflops: float | None = None,
        extra_passes: int = 0,
    ) -> None:
        """`spike`: the multiple of the largest of the newest losses above which a loss is a spike; None for no limit."""
        self.run, self.plan, self.attempt, self.is_main, self.spike = run, plan, attempt, is_main, spike
        self.method = find_method(plan.trainer)
        self.peak_tflops = peak_tflops
        """Peak of one rank's device, if the cluster file has it."""
        self.extra_passes = extra_passes
        """Forward passes over each sequence in addition to the one that is trained on."""
        self._losses: deque[float] = deque(maxlen=_RECENT)
        self.evaluated: tuple[int, float] | None = None
        """Step and loss of the newest evaluation."""
        self.rows = 0
        """Training sequences in an epoch."""
        self.batch_of: Callable[[int], int] = int
        """Step -> the number of the batch that it uses."""
        self.tally: Tally | None = None
        """The token counts; None if the rows do not contain them, in which case the trainer's own count is logged."""
        self.routers: Routers | None = None
        """The routers that are read; None if the model has none."""
        self._logged = 0
        self._last_time = time.monotonic()
        self._last_tokens = self._counted = 0
        self._since = self._last_time
        """Time of the last training activity; the time from here to the end of an evaluation belongs to the evaluation."""

    @property
    def tokens(self) -> int:
        """Tokens that the run has trained on so far."""
        return self.tally.seen.tokens if self.tally is not None else self._counted

    @tokens.setter
    def tokens(self, tokens: int) -> None:
        self._counted = tokens
        if self.tally is not None:
            self.tally.seen.tokens = tokens

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {"args": {}, "attributes": vars(self.tally.seen) if self.tally is not None else {}}

    def waited(self, seconds: float) -> None:
        """Adds time in which training waited for a batch."""
        if self.tally is not None:
            self.tally.waited_s += seconds

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Records the start and the total number of steps."""
        if self.tally is not None:
            kept = state.stateful_callbacks.get(type(self).__name__, {})
            if state.global_step and isinstance(kept, dict):
                self.tally.seen = RowSums(**{**vars(self.tally.seen), **kept.get("attributes", {})})
            self.tally.restart_clock()
        self._last_time = self._since = time.monotonic()
        self._last_tokens, self._logged = self.tokens, state.global_step
        self._note(Training(attempt=self.attempt, step=state.global_step, total_steps=state.max_steps))
        few = few_steps(state.max_steps)
        if few and self.is_main and state.global_step == 0:
            print(f"launcher: warning: {few}", flush=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Sets the true epoch, because the Trainer counts the whole run as one."""
        self._since = time.monotonic()
        state.epoch = self._samples(state) / self.rows
        if self.tally is not None:
            self.tally.add_step(state.global_step - 1)

    def figures(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        """The figures that are logged in addition to the trainer's own."""
        if "loss" in logs:
            counted = self.tally.figures() if self.tally is not None else {}
            return {**counted, **(self.routers.figures() if self.routers else {})}
        if "eval_loss" in logs and self.method.next_token_loss:
            return {"perplexity": perplexity(float(logs["eval_loss"]))}
        return {}

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Writes one line of metrics per logged step or evaluation, and an event per evaluation."""
        logs = logs or {}
        if "eval_loss" in logs:
            when = (
                "before"
                if state.global_step == 0
                else "after"
                if state.global_step >= state.max_steps
                else "during"
            )
            self.evaluated = (state.global_step, float(logs["eval_loss"]))
            found = {key: logs.get(key) for key in ("eval_loss", "perplexity")}
            self._note(Evaluated(attempt=self.attempt, when=when, step=state.global_step, **found))
            if self.is_main:
                more = figures(logs, self.method.figures, "eval_")
                self.run.log(Evaluation(time=now(), step=state.global_step, **found, more=more))
        if "loss" not in logs:
            return
        self._since = time.monotonic()
        self._check_loss(state.global_step, logs)
        counts = {key: logs.get(key) for key in FIGURES} if self.tally is not None else self._counts(logs)
        if self.is_main:
            self.run.log(
                Logged(
                    time=now(),
                    step=state.global_step,
                    total_steps=state.max_steps,
                    loss=logs["loss"],
                    learning_rate=logs.get("learning_rate"),
                    grad_norm=_finite(logs.get("grad_norm")),
                    epoch=logs.get("epoch"),
                    samples=self._samples(state),
                    **counts,
                    more=figures(logs, self.method.figures),
                )
            )

    def _counts(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        """The trainer's own count of tokens, and the rate."""
        moment, tokens = time.monotonic(), int(logs.get("num_tokens", 0))
        rate = (tokens - self._last_tokens) / max(moment - self._last_time, 1e-9)
        self._last_time, self._last_tokens = moment, tokens
        ranks = self.plan.topology.world_size
        return {
            "tokens": tokens,
            "tokens_per_s": round(rate, 2),
            "tokens_per_s_per_gpu": round(rate / ranks, 2),
            "peak_memory_gib": round(peak_memory_gib(self.plan.device == "cuda"), 3),
            "expert_load": logs.get("expert_load"),
        }

    def _check_loss(self, step: int, logs: Any) -> None:
        """errors.Diverged, before a bad state can be saved; later attempts skip the batches since the last log."""
        wrong = [
            f"{key} is {logs[key]}"
            for key in ("loss", "grad_norm")
            if not math.isfinite(float(logs.get(key) or 0.0))
        ] or self._spike(float(logs["loss"]))
        if wrong:
            batches = [self.batch_of(done) for done in range(self._logged, step)]
            self._note(Diverged(attempt=self.attempt, step=step, batches=batches, why=wrong[0]))
            raise errors.DivergedError(f"{', '.join(wrong)} at step {step}")
        self._logged = step

    def _spike(self, loss: float) -> list[str]:
        """The reason to refuse a finite loss that is far above the largest of the newest losses; empty for any other loss. Mean
        and deviation are not used, because losses of small batches have heavy tails."""
        if self.spike is not None and len(self._losses) >= _ENOUGH:
            most = max(self._losses)
            if loss > max(self.spike * most, most + _LEAST_SPIKE):
                return [
                    f"loss is {loss:.4g}, more than trainer.loss_spike={self.spike:g} times any of the last "
                    f"{len(self._losses)} losses (at most {most:.4g}),"
                ]
        self._losses.append(loss)
        return []

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Excludes the time of the evaluation from the training rate."""
        seconds = time.monotonic() - self._since
        self._last_time += seconds
        if self.tally is not None:
            self.tally.leave_out(seconds)
        self._since += seconds

    def _samples(self, state: Any) -> int:
        return state.global_step * self.plan.batch.global_batch_size

    def _note(self, event: Event) -> None:
        if self.is_main:
            self.run.note(event)


def figures(logs: dict[str, Any], beginnings: tuple[str, ...], prefix: str = "") -> dict[str, float]:
    """The finite figures whose names begin with one of `beginnings`: those that a method logs, under trl's names."""
    names = tuple(f"{prefix}{name}" for name in beginnings)
    return {
        name: float(value)
        for name, value in logs.items()
        if name.startswith(names) and _finite(value) is not None
    }


class SampleAnswers(TrainerCallback):
    """Answers one question before and after training, if every rank holds the whole model."""

    def __init__(self, run: RunDir, attempt: int, is_main: bool, tokenizer: Any, prompt: str) -> None:
        self.run, self.attempt, self.is_main = run, attempt, is_main
        self.tokenizer, self.prompt = tokenizer, prompt

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Records the answer before training, but not again after a resume."""
        if state.global_step == 0:
            self._answer("before", model)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Records the answer after training."""
        self._answer("after", model)

    def _answer(self, when: str, model: Any) -> None:
        if not self.is_main:
            return
        self.run.note(Working(attempt=self.attempt, on="answer"))
        chat = [{"role": "user", "content": self.prompt}]
        inputs = self.tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        was_training = model.training
        model.eval()
        with torch.no_grad():
            output = model.generate(
                **inputs.to(model.device),
                max_new_tokens=64,
                do_sample=False,
                use_cache=True,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        model.train(was_training)
        answer = self.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        self.run.note(Sample(attempt=self.attempt, when=when, prompt=self.prompt, answer=answer.strip()))


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(float(value)) else None
