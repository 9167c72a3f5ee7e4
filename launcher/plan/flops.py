"""FLOPs of training on a number of tokens: those that the method requires, and those that the hardware computes."""

from dataclasses import dataclass

from launcher.plan.blocks import attention_width, full_blocks, seen_in_window, windowed_blocks
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.model import parameters_by_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """FLOPs per token, per trained token, and per pair of tokens that attention compares."""

    model_token: float
    model_pair: float
    token: float
    trained_token: float
    pair: float

    def model(self, tokens: float, pairs: float) -> float:
        """FLOPs that the method requires, however they are computed: the numerator of MFU."""
        return self.model_token * tokens + self.model_pair * pairs

    def hardware(self, tokens: float, trained: float, pairs: float) -> float:
        """FLOPs that are computed: with recomputation, and with the head at trained tokens only: the numerator of HFU."""
        return self.token * tokens + self.trained_token * trained + self.pair * pairs


def count_flops(plan: LaunchPlan, extra_passes: int = 0) -> Flops | None:
    """The FLOPs of a plan's method; None if the model's shape is not known.

    A weight of a matrix costs 2 FLOPs per token forward, 2 backward for the gradient of its input, and 2 for its own gradient
    if it is trained: 6 per parameter in a full fine-tune; under LoRA 4 per frozen parameter and 6 per adapter parameter. The
    embedding is a look-up and costs nothing; tied to the head, it counts once, as the head. Only the experts that a token
    visits count. A pair of tokens that attention compares costs 4 * heads * head_dim per block forward, and twice that
    backward; a causal document of n tokens has n * (n + 1) / 2 pairs. Blocks whose window is shorter than model.max_length
    count its mean number of pairs for each token, and those with linear attention none. Padding, norms and the optimizer are
    left out.
    `extra_passes`: the method's forward passes besides the trained one. A teacher's forward pass is added; its blocks with a
    window count no attention.
    Source: Chowdhery et al., PaLM (arXiv 2204.02311), appendix B (MFU, HFU); Kaplan et al. (arXiv 2001.08361), section 2.1;
    Korthikanti et al. (arXiv 2205.05198), appendix A (recomputation); Hu et al., LoRA (arXiv 2106.09685).
    """
    shape = plan.facts.architecture
    if shape is None:
        return None
    kinds = parameters_by_kind(shape)
    visited = kinds.experts
    if shape.num_experts:
        visited *= (shape.num_experts_per_tok or 2) / shape.num_experts
    blocks = kinds.attention + kinds.mlp + visited
    head = plan.outputs * shape.hidden_size or kinds.head or kinds.embedding
    width, length = attention_width(shape), plan.trainer_args.get("max_length") or 0
    seen = windowed_blocks(shape)
    narrow = bool(length) and length > (shape.sliding_window or 0)
    pair = 4 * width * (full_blocks(shape) + (0 if narrow else seen))
    window = 4 * width * seen * seen_in_window(shape, length) if narrow and seen else 0
    passes, more = 4 if plan.adapter else 6, 2 * extra_passes
    adapter = 6 * (plan.model.trainable_parameters or 0) if plan.adapter else 0
    again = 1 if plan.checkpointing else 0
    taught = _teacher(plan)
    return Flops(
        model_token=(passes + more) * (blocks + head)
        + adapter
        + (3 + extra_passes) * window
        + taught.model_token,
        model_pair=(3 + extra_passes) * pair + taught.model_pair,
        token=(passes + more + 2 * again) * blocks
        + adapter * (1 + again / 3)
        + (3 + again + extra_passes) * window
        + taught.token,
        trained_token=(passes + more) * head + taught.trained_token,
        pair=(3 + again + extra_passes) * pair + taught.pair,
    )


def _teacher(plan: LaunchPlan) -> Flops:
    """The FLOPs of the teacher's forward pass, 2 per weight that a token uses; none without a teacher."""
    shape = plan.facts.teacher
    if shape is None:
        return Flops(model_token=0, model_pair=0, token=0, trained_token=0, pair=0)
    kinds = parameters_by_kind(shape)
    share = (shape.num_experts_per_tok or 2) / shape.num_experts if shape.num_experts else 1
    blocks = 2 * (kinds.attention + kinds.mlp + kinds.experts * share)
    head, pair = 2 * (kinds.head or kinds.embedding), 4 * attention_width(shape) * full_blocks(shape)
    return Flops(model_token=blocks + head, model_pair=pair, token=blocks, trained_token=head, pair=pair)
