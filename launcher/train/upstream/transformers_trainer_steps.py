"""transformers 5.23: Trainer's loop as single steps, which another loop calls.

Symptom: Trainer.train returns only after the last step, so that two trainers cannot take turns in one process. The parts here
are those of Trainer._inner_training_loop, _run_epoch and _finalize_training, in their order; tests/training/test_lanes.py
compares the results with those of Trainer.train to the last bit.
"""

import time
from typing import Any

import torch


class TrainerSteps:
    """A mixin before a Trainer on one rank: `train` prepares and returns, and then `take`, `add` and `complete` make a step."""

    def _inner_training_loop(
        self: Any, batch_size: Any = None, args: Any = None, resume_from_checkpoint: Any = None, *rest: Any, **more: Any
    ) -> None:  # fmt: skip
        """Everything before the first step."""
        self.accelerator.free_memory()
        loader = self.get_train_dataloader()
        epochs, updates, _, self._step_samples, _, in_epoch, max_steps = self.set_initial_training_values(
            args, loader
        )
        first, _ = self._init_training_state(max_steps, updates, epochs, resume_from_checkpoint, None)
        self._step_model, loader = self._prepare_for_training(max_steps, loader, resume_from_checkpoint)
        self._step_epoch, self._steps_in_epoch = first, in_epoch
        self._step_begun = time.time()
        self._initial_num_input_tokens_seen = self.state.num_input_tokens_seen
        self._initial_global_step = self.state.global_step
        self._tr_loss = torch.tensor(0.0, device=args.device)
        self._total_loss_scalar = 0.0
        self._globalstep_last_logged = self.state.global_step
        self._step_model.zero_grad()
        self.control = self.callback_handler.on_train_begin(args, self.state, self.control)
        if args.eval_on_start:
            self._evaluate(None, None, skip_scheduler=True)
        self._step_batches: Any = None
        if first < epochs:
            self.control = self.callback_handler.on_epoch_begin(args, self.state, self.control)
            if resume_from_checkpoint is not None:
                self._load_rng_state(resume_from_checkpoint)
            self._step_batches = iter(loader)

    @property
    def is_over(self: Any) -> bool:
        """Whether no step is left."""
        return self._step_batches is None or self.control.should_training_stop

    def prepared(self: Any, inputs: Any) -> Any:
        """A micro-batch on the device of the model."""
        return self._prepare_inputs(inputs)

    def take(self: Any) -> tuple[list[Any], Any]:
        """The micro-batches of the next step, and its trained tokens; no micro-batch if the data has ended."""
        batches, items = self.get_batch_samples(
            self._step_batches, self.args.gradient_accumulation_steps, self.args.device
        )
        self.current_gradient_accumulation_steps = len(batches)
        if batches:
            self.control = self.callback_handler.on_step_begin(self.args, self.state, self.control)
        else:
            self.control.should_training_stop = True
        return batches, items

    def train_on(self: Any, inputs: Any, items: Any, *, last: bool) -> torch.Tensor:
        """The loss of a micro-batch after its forward and backward pass. `last`: whether it is the step's last one."""
        self.accelerator.gradient_state._set_sync_gradients(last)
        return self.training_step(self._step_model, inputs, items)

    def for_backward(self: Any, loss: torch.Tensor, items: Any) -> torch.Tensor:
        """The loss that another forward pass has computed, scaled as Trainer.training_step scales it."""
        scaled = self.model_accepts_loss_kwargs and items is not None
        return loss if scaled else loss / self.current_gradient_accumulation_steps

    def add(self: Any, loss: torch.Tensor, inputs: Any) -> None:
        """Counts a micro-batch."""
        self._tr_loss += loss
        self.current_flos += float(self.floating_point_ops(inputs))
        self._track_num_input_tokens(inputs)

    def complete(self: Any) -> None:
        """The optimizer's step, and the log, evaluation and save that are due after it."""
        self.accelerator.gradient_state._set_sync_gradients(True)
        clips = self.args.max_grad_norm > 0
        norm = self._clip_grad_norm(self._step_model) if clips else None
        norm = self._get_grad_norm(self._step_model, grad_norm=norm)
        self.control = self.callback_handler.on_pre_optimizer_step(self.args, self.state, self.control)
        self.optimizer.step()
        self.control = self.callback_handler.on_optimizer_step(self.args, self.state, self.control)
        rate = self._get_learning_rate()
        if not self.accelerator.optimizer_step_was_skipped:
            self.lr_scheduler.step()
        self._step_model.zero_grad()
        self.state.global_step += 1
        self.state.epoch = (
            self._step_epoch
            + self.state.global_step * self.args.gradient_accumulation_steps / self._steps_in_epoch
        )
        self.control = self.callback_handler.on_step_end(self.args, self.state, self.control)
        self._after(norm, rate)

    def save_between_steps(self: Any, why: str) -> None:
        """Logs and saves now, unless nothing was trained since the last save."""
        self.save_reason = why
        self.control.should_log = self.control.should_save = True
        self._after(None, None)

    def finish(self: Any) -> None:
        """Everything after the last step."""
        if self._step_batches is not None:
            self.control = self.callback_handler.on_epoch_end(self.args, self.state, self.control)
            self._after(None, None)
        self._finalize_training(None, self._step_samples, self._step_begun)

    def _after(self: Any, norm: Any, rate: Any) -> None:
        self._maybe_log_save_evaluate(
            self._tr_loss, norm, self._step_model, None, self._step_epoch, None, self._step_begun, learning_rate=rate
        )  # fmt: skip
