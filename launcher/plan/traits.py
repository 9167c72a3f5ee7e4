"""What a plugin declares about itself, so that rules, gates and commands need not know its name."""

from dataclasses import field

from launcher.frozen_dataclass import frozen_dataclass
from launcher.rule import Rule


@frozen_dataclass
class Traits:
    """What a plugin does to a run. plan.json holds it for each plugin, under the plugin's name in the configuration."""

    moves_weights: bool = False
    """It changes the base model's weights before the first step, as the adapters PiSSA and OLoRA do."""
    needs_eval: bool = False
    """It reads the results of evaluations: data.eval_path and trainer.eval_steps must be set."""
    needs_task: str | None = None
    """The figure of evaluations on tasks (eval_job) that it reads, as TASK/METRIC; None if it reads none."""
    needs_token_predictions: bool = False
    """It measures how well the model predicts tokens, which a reward model does not do."""
    reentrant: bool = False
    """Whether it computes blocks again without hooks on what autograd saves, which takes the host less time."""
    measures_tokens: int = 0
    """Tokens whose logits it computes at once between two steps, without gradients."""
    saves: bool = False
    """It writes checkpoints, so that the run can be resumed."""
    same_training: bool = False
    """It changes where and how the run computes, but not what it learns: `resume` can change its options."""
    gpu_kernels: bool = False
    """It replaces layers by kernels of a GPU that compute the same. A model that is opened after training goes without them."""
    rules: tuple[Rule, ...] = field(default=(), metadata={"printed": False})
    """Combinations with this plugin that do not work; a plan that breaks one is refused. Numbers are unique within the plugin.
    plan.json does not hold them: they are code."""
    four_bit: tuple[str, ...] | None = None
    """The plugin that does the same over 4-bit weights, followed by the overrides for its options; None if there is none."""
