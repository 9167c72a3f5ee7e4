"""The trainer group: the training method and its hyperparameters."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Optional

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


class Precision(Enum):
    """Number format of the forward pass. `auto`: bf16 on a GPU, fp32 on a CPU."""

    auto = "auto"
    bf16 = "bf16"
    fp32 = "fp32"


@dataclass(kw_only=True)
class TrainerConfig:
    """The objective and its hyperparameters; names are transformers' TrainingArguments' and trl's."""

    kind: str = "sft"
    """The training method: the name of a module in launcher/methods, or of an entry point in group launcher.methods;
    docs/trainers.md has a section for each."""
    learning_rate: float = 2e-4
    num_train_epochs: float = 1.0
    max_steps: int = -1
    """Optimizer steps; above 0 it overrides num_train_epochs."""
    lr_scheduler_type: str = "cosine"
    """The learning rate's course, in transformers' spelling."""
    lr_scheduler_kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    """What that course needs beside: min_lr_rate for cosine_with_min_lr, num_decay_steps for warmup_stable_decay."""
    warmup_steps: float = 0.03
    """Steps of linear warm-up; below 1 it is a share of all steps, rounded down: 0.03 of fewer than 34 steps is none."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    loss_spike: Optional[float] = 2.0  # noqa: UP045
    """A loss of more than so many times the largest of the last 64 is a spike: the run goes back to its newest checkpoint and
    leaves the batch out, twice at most. None: only a loss that is no number is."""
    optim: str = "adamw_torch"
    """Optimizer, in transformers' spelling; adamw_8bit and its kin take a quarter of AdamW's memory."""
    logging_steps: int = 1
    eval_steps: Optional[int] = None  # noqa: UP045
    """Steps between evaluations; None evaluates before and after training only."""
    packing: bool = False
    """Put several short documents into one sequence; none sees another."""
    torch_compile: bool = False
    """Compile the model: minutes before the first step, faster ones after it. Not with DeepSpeed."""
    activation_offloading: bool = False
    """Keep activations in host memory between the forward and the backward pass. On a GPU alone."""
    assistant_only_loss: bool = True
    """Train on the assistant's turns alone."""
    precision: Precision = Precision.auto
    sample_prompt: Optional[str] = None  # noqa: UP045
    """A question that is answered before and after training, for a person to compare."""
    beta: Optional[float] = None  # noqa: UP045
    """dpo, kto, grpo: how far the model is held to the reference model; orpo: weight of the odds ratio. None: trl's."""
    loss_type: Optional[str] = None  # noqa: UP045
    """dpo, kto, grpo: the loss, in trl's spelling (sigmoid, ipo, ...; kto, apo_zero_unpaired; dapo, grpo, ...). None: trl's."""
    label_smoothing: Optional[float] = None  # noqa: UP045
    """dpo: share of pairs that are taken to be labelled the wrong way round (robust), or EXO's epsilon (exo_pair)."""
    desirable_weight: Optional[float] = None  # noqa: UP045
    """kto: weight of the good answers' loss."""
    undesirable_weight: Optional[float] = None  # noqa: UP045
    """kto: weight of the bad answers' loss."""
    center_rewards_coefficient: Optional[float] = None  # noqa: UP045
    """reward: weight of a term that holds the mean reward at 0; 0.01 is usual, None leaves it out."""
    disable_dropout: Optional[bool] = None  # noqa: UP045
    """dpo, kto, orpo, reward, grpo: train without dropout. None: trl's, which is yes for all but grpo."""
    num_generations: Optional[int] = None  # noqa: UP045
    """grpo: answers that are drawn for each prompt; batch.global_batch_size counts answers. None: 8."""
    max_completion_length: Optional[int] = None  # noqa: UP045
    """grpo: longest answer, in tokens; prompts may have the rest of model.max_length. None: half of model.max_length."""
    temperature: Optional[float] = None  # noqa: UP045
    """grpo: temperature at which answers are drawn. None: 1."""
    top_p: Optional[float] = None  # noqa: UP045
    """grpo: share of the probability that tokens are drawn from. None: 1, all of it."""
    top_k: Optional[int] = None  # noqa: UP045
    """grpo: so many of the likeliest tokens are drawn from. None: 0, all of them."""
    repetition_penalty: Optional[float] = None  # noqa: UP045
    """grpo: above 1, tokens that were said before are less likely. None: 1."""
    epsilon: Optional[float] = None  # noqa: UP045
    """grpo: how far the ratio to the old policy may go before it is clipped. None: 0.2."""
    scale_rewards: Optional[str] = None  # noqa: UP045
    """grpo: group, batch or none: whose standard deviation rewards are divided by. None: group."""
    reward_functions: list[Any] = field(default_factory=list[Any])
    """grpo: functions from answers to rewards, each `{_target_: my_rewards.length}`, further keys being its arguments."""
    reward_weights: Optional[list[float]] = None  # noqa: UP045
    """grpo: a weight for each reward function. None: all alike."""
