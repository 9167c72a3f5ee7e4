"""The settings of a run that decide whether it breaks a rule of launcher.plan.rules."""

from dataclasses import field

from launcher.frozen_dataclass import frozen_dataclass
from launcher.methods.base import Method
from launcher.rule import Rule
from launcher.strategies import Degrees, Strategy


@frozen_dataclass
class Combination:
    """The settings of a run that the rules look at."""

    trainer: str
    method: Method
    """The spec of that trainer.kind."""
    loss_type: str | None = None
    strategy: Strategy
    device: str = "cuda"
    precision: str = "bf16"
    degrees: Degrees = field(default_factory=Degrees)
    micro_batch_size: int = 1
    generations: int = 1
    """Answers that are generated for each prompt."""
    evaluates: bool = False
    adapter: bool = False
    four_bit: bool = False
    eight_bit: bool = False
    packed: bool = False
    """Whether the checkpoint stores its experts in MXFP4."""
    dora: bool = False
    dropout: bool = False
    """Whether the adapter has dropout."""
    disable_dropout: bool | None = None
    moves_weights: bool = False
    """Whether the adapter's initialisation changes the base model's weights."""
    has_reference: bool = False
    """Whether the loss compares the model with what it was before training."""
    second_model: bool = False
    """Whether a frozen second model is loaded: the reference of a full fine-tune, or a teacher."""
    guarded: bool = False
    """Whether a plugin measures how well the model predicts tokens."""
    saves: bool = False
    optimizer: str = "adamw_torch"
    attention: str | None = None
    """model.attn_implementation."""
    heads: int | None = None
    """Attention heads of the model; None if its shape is not known."""
    key_value_heads: int | None = None
    """Key-value heads of the model; None as for heads."""
    sees_less: bool = False
    """Whether some layers have a sliding window or linear attention."""
    experts: bool | None = None
    """Whether the model is a mixture of experts; None if its shape is not known."""
    balances: bool = False
    """Whether a loss balances the routers (trainer.router_aux_loss_coef)."""
    tiles: bool = False
    """Whether MLPs compute their tokens in tiles (trainer.mlp_tile_tokens)."""
    compiled: bool = False
    """Whether torch.compile compiles the model."""
    trains_head: bool = False
    """Whether modules_to_save trains the model's head whole."""
    trains_tokens: bool = False
    """Whether an adapter trains the embeddings of single tokens."""
    kernels: bool = False
    """Whether liger's kernels replace layers of the model."""
    rank_starter: str = "launcher"
    spares: int = 0
    generates: str = "none"
    """generation.mode."""
    declared: tuple[tuple[str, Rule], ...] = ()
    """(key, rule) for each rule that a plugin of the run declares."""
