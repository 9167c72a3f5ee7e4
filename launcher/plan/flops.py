"""FLOPs of training on a number of tokens: what the method asks for, and what is computed."""

from dataclasses import dataclass

from launcher.methods.registry import find_method
from launcher.plan.launch_plan import LaunchPlan
from launcher.plan.model import head_dim, parameters_by_kind

PEAKS_TFLOPS = {
    "B200": 2250.0, "H200": 989.0, "H100 PCIe": 756.0, "H100": 989.0, "GH200": 989.0, "A100": 312.0, "L40S": 362.0,
    "A10": 125.0, "L4": 121.0, "V100": 125.0, "T4": 65.0,
}  # fmt: skip
"""Dense 16-bit TFLOP/s by NVIDIA's data sheets; the first name that a device's name holds counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """FLOPs for each token, for each trained token, and for each pair of tokens that attention compares."""

    model_token: float
    model_pair: float
    token: float
    trained_token: float
    pair: float

    def model(self, tokens: float, pairs: float) -> float:
        """What the method asks for, whatever computes it: the numerator of MFU."""
        return self.model_token * tokens + self.model_pair * pairs

    def hardware(self, tokens: float, trained: float, pairs: float) -> float:
        """What is computed: with what checkpointing repeats, and the head at trained tokens alone. The numerator of HFU."""
        return self.token * tokens + self.trained_token * trained + self.pair * pairs


def count_flops(plan: LaunchPlan, extra_passes: int = 0) -> Flops | None:
    """The FLOPs of a plan's method; None where the model's shape is not known.

    A weight of a matrix takes 2 for a token forward, 2 backward for the gradient of its input, and 2 for its own where it is
    trained: 6 of every parameter in a full fine-tune, 4 of a frozen one under LoRA, 6 of the adapter's. The embedding is looked
    up and takes none; tied to the head it counts once. Of experts count those that a token visits. A pair of tokens that
    attention compares takes 4 * heads * head_dim a block forward, and twice that backward; a causal document of n tokens has
    n * (n + 1) / 2. Padding, norms and the optimizer are left out. `extra_passes`: forward passes beside the one that is
    trained on, by the method's spec.
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
    head = find_method(plan.trainer).count_head(shape) or kinds.head or kinds.embedding
    pair = 4 * shape.num_attention_heads * head_dim(shape) * shape.num_hidden_layers
    passes, more = 4 if plan.adapter else 6, 2 * extra_passes
    adapter = 6 * (plan.model.trainable_parameters or 0) if plan.adapter else 0
    again = 1 if plan.checkpointing else 0
    return Flops(
        model_token=(passes + more) * (blocks + head) + adapter,
        model_pair=(3 + extra_passes) * pair,
        token=(passes + more + 2 * again) * blocks + adapter * (1 + again / 3),
        trained_token=(passes + more) * head,
        pair=(3 + again + extra_passes) * pair,
    )


def known_peak_tflops(device_name: str) -> float | None:
    """The data sheet's figure of a device; None for one that is not listed."""
    return next((peak for name, peak in PEAKS_TFLOPS.items() if name in device_name), None)
