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
    """The training method and its hyperparameters; names are transformers' TrainingArguments' and trl's."""

    kind: str = "sft"
    """Training method: the objective that is optimized; a module of launcher/methods, or an entry point of another package in
    group launcher.methods. `trainer=NAME` also sets the usual values of a method."""
    learning_rate: float = 2e-4
    """Peak learning rate."""
    num_train_epochs: float = 1.0
    """Passes over the training data; max_steps above 0 overrides it."""
    max_steps: int = -1
    """Optimizer steps; above 0 it overrides num_train_epochs."""
    lr_scheduler_type: str = "cosine"
    """Learning rate schedule, by its name in transformers: linear, cosine, constant_with_warmup, ..."""
    lr_scheduler_kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    """Further arguments of the schedule, such as min_lr_rate for cosine_with_min_lr."""
    warmup_steps: float = 0.03
    """Steps of linear warm-up. A value below 1 is a share of all steps, rounded up: 0.03 of 33 steps is 1. A run of one
    step has no warm-up."""
    weight_decay: float = 0.0
    """Weight decay of AdamW; biases and norms are excluded, as in transformers."""
    adam_beta1: float = 0.9
    """Adam's decay rate of the mean of gradients."""
    adam_beta2: float = 0.999
    """Adam's decay rate of the mean of squared gradients."""
    adam_epsilon: float = 1e-8
    """Adam's term in the denominator, for numerical stability."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this global norm."""
    loss_spike: Optional[float] = 2.0  # noqa: UP045
    """A loss above this many times the largest of the last 64 losses is a spike: the run returns to its newest checkpoint and
    skips the batch, at most twice. With null, only a NaN or infinite loss is treated so."""
    optim: str = "adamw_torch"
    """Optimizer, by its name in transformers, or muon. adamw_8bit and other 8-bit kinds need a quarter of the memory of
    adamw_torch. muon trains the matrices of hidden layers by Muon, with half of AdamW's state, and the embedding, the head,
    biases, norms and stacked experts by AdamW, all with the same learning rate (ddp and fsdp2)."""
    logging_steps: int = 1
    """Steps between two lines of metrics.jsonl."""
    eval_steps: Any = None  # OmegaConf 2.3 fails to merge a union that is null; the plan checks the value
    """Steps between evaluations. A value below 1 is a share of all steps, rounded up; `epoch` evaluates once per epoch; null
    evaluates only before and after training."""
    packing: bool = False
    """Whether to put several short documents into one sequence; attention never crosses documents."""
    torch_compile: bool = False
    """Whether to compile the model: it takes minutes before the first step, and steps are then faster. Not with DeepSpeed."""
    activation_offloading: bool = False
    """Whether to keep activations in host memory between the forward and backward pass. GPUs only."""
    mlp_tile_tokens: Optional[int] = None  # noqa: UP045
    """Tokens that an MLP computes at once, one tile after another; each tile is computed again in the backward pass. The
    result is the same. It divides the widest activations of long sequences; about the width of the model is usual. null
    computes all tokens at once. For dense models under ddp and fsdp2, without torch_compile."""
    assistant_only_loss: bool = True
    """Whether the loss covers only the turns of the assistant."""
    precision: Precision = Precision.auto
    """Number format of the forward pass; `auto` is bf16 on a GPU and fp32 on a CPU."""
    sample_prompt: Optional[str] = None  # noqa: UP045
    """A question that the model answers before and after training, for a person to compare."""
    beta: Optional[float] = None  # noqa: UP045
    """dpo, kto, grpo: strength of the penalty for deviating from the reference model; orpo: weight of the odds ratio; null uses
    the default of trl. distill: the divergence from the teacher, from 0 (forward KL, of the teacher from the student) over the
    generalized Jensen-Shannon divergence to 1 (reverse KL); null means 0."""
    loss_type: Optional[str] = None  # noqa: UP045
    """dpo, kto, grpo: the loss, by its name in trl (sigmoid, ipo, ...; kto, apo_zero_unpaired; dapo, grpo, ...). null uses the
    default of trl."""
    label_smoothing: Optional[float] = None  # noqa: UP045
    """dpo: assumed share of pairs whose labels are swapped (robust), or epsilon of EXO (exo_pair)."""
    desirable_weight: Optional[float] = None  # noqa: UP045
    """kto: weight of the loss of good answers."""
    undesirable_weight: Optional[float] = None  # noqa: UP045
    """kto: weight of the loss of bad answers."""
    center_rewards_coefficient: Optional[float] = None  # noqa: UP045
    """reward: weight of a term that keeps the mean reward at 0; 0.01 is usual, null omits the term."""
    labels: Optional[list[str]] = None  # noqa: UP045
    """classify: names of the classes, in the order of the model's outputs; a row with another one is refused. null takes those
    of the training rows, sorted."""
    multi_label: bool = False
    """classify: whether a row can have several classes, or none (`labels: [...]`); each class is then decided by itself."""
    class_weight: Optional[str] = None  # noqa: UP045
    """classify: `balanced` weights rows so that all classes count equally in the loss, however many rows they have; null
    weights all rows equally."""
    router_aux_loss_coef: Optional[float] = None  # noqa: UP045
    """sft, pretrain, with a mixture of experts: weight of the router's load-balancing loss, which is added to the loss;
    0.001 to 0.02 is usual. It is computed for each row and averaged over the rows of the global batch. null adds none."""
    teacher: Optional[str] = None  # noqa: UP045
    """distill: the model whose predictions are imitated: a hub id or a folder. It needs the trained model's tokenizer."""
    teacher_revision: Optional[str] = None  # noqa: UP045
    """distill: commit, branch or tag of the teacher on the hub; null means main."""
    teacher_logits: Optional[str] = None  # noqa: UP045
    """distill: folder with a teacher's output that `data teach` has stored. It takes the place of trainer.teacher, so that no
    teacher is loaded."""
    alpha: Optional[float] = None  # noqa: UP045
    """distill: share of the ordinary cross-entropy in the loss; the rest is the divergence from the teacher. null means 0."""
    disable_dropout: Optional[bool] = None  # noqa: UP045
    """dpo, kto, orpo, reward, grpo: whether to train without dropout. null uses the default of trl: true except for grpo."""
    num_generations: Optional[int] = None  # noqa: UP045
    """grpo: answers that are sampled for each prompt; batch.global_batch_size counts answers. null means 8."""
    max_completion_length: Optional[int] = None  # noqa: UP045
    """grpo: longest answer, in tokens; prompts may use the rest of model.max_length. null means half of model.max_length."""
    temperature: Optional[float] = None  # noqa: UP045
    """grpo: sampling temperature of answers. distill: both models' logits are divided by it, and the divergence is multiplied
    by its square. null means 1."""
    top_p: Optional[float] = None  # noqa: UP045
    """grpo: nucleus sampling: the share of probability from which tokens are sampled. null means 1, no restriction."""
    top_k: Optional[int] = None  # noqa: UP045
    """grpo: tokens are sampled from this many most likely ones. null means 0, no restriction."""
    repetition_penalty: Optional[float] = None  # noqa: UP045
    """grpo: a value above 1 makes tokens that occurred before less likely. null means 1."""
    epsilon: Optional[float] = None  # noqa: UP045
    """grpo: clipping range of the ratio to the old policy. null means 0.2."""
    scale_rewards: Optional[str] = None  # noqa: UP045
    """grpo: rewards are divided by the standard deviation of their `group` or `batch`, or `none`. null means group."""
    reward_functions: list[Any] = field(default_factory=list[Any])
    """grpo: functions that reward answers, each `{_target_: my_rewards.length}`; further keys are passed as arguments."""
    reward_weights: Optional[list[float]] = None  # noqa: UP045
    """grpo: one weight per reward function; null weights all equally."""
    reward_timeout_s: Optional[float] = None  # noqa: UP045
    """grpo: seconds that a reward function may take for the answers of a rank. Each function has a process of its own, which is
    then killed and started again. null: a third of resources.hang_timeout_s. 0: the functions run within the ranks, without a
    limit."""
    reward_if_failed: Optional[float] = None  # noqa: UP045
    """grpo: reward of an answer for which a function takes too long, raises, returns NaN or ends its process. null ends the run
    with an error that names the function and the answer."""
    args: dict[str, Any] = field(default_factory=dict[str, Any])
    """Fields of transformers' TrainingArguments, and of trl's arguments of the method (SFTConfig, DPOConfig, ...), that have no
    key of their own, by their names, such as trainer.args.eval_delay=100. They are passed on as they are: no estimate and no
    rule of the plan knows them."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    """Options of a training method that are not keys of this group: those of methods of other packages, by their names."""
