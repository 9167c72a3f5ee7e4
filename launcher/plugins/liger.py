"""Liger: fused Triton kernels for norms, rotary embeddings and the MLP's product, on GPUs.

Memory: the MLP keeps two wide activations in the place of three, and norms their input in the stream's format in the place of
fp32. The head stays trl's, which is fused as well, so the logits are what they are without this plugin. Speed: fewer passes
over memory; not measured by this project.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from launcher.errors import PlanError
from launcher.plugins.base import Plugin, check_types

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan

_INSTALL = "pip install liger-kernel==0.8.5"
_WITHOUT = "take liger out of plugin=[...]"


@dataclass(frozen=True, kw_only=True)
class Liger(Plugin):
    """liger-kernel's layers. Source: Hsu et al., arXiv 2410.10989."""

    rope: bool = True
    """Fused rotary embeddings."""
    rms_norm: bool = True
    """Fused norms."""
    glu: bool = True
    """Fused product of the MLP: SwiGLU, or GeGLU where the model has that."""

    def __post_init__(self) -> None:
        check_types(self, "plugins.liger")
        if not (self.rope or self.rms_norm or self.glu):
            raise ValueError(
                "plugins.liger does nothing with rope, rms_norm and glu all false; take it out of plugin=[...]"
            )

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """Refuses this machine where it lacks the package; tells the memory estimate, and the rules, which refuse CPU ranks."""
        if (
            plan.device == "cuda"
            and plan.cluster == "local"
            and importlib.util.find_spec("liger_kernel") is None
        ):
            raise PlanError(f"plugins.liger: liger-kernel is not installed here; {_INSTALL}, or {_WITHOUT}")
        kernels = tuple(name for name in ("rope", "rms_norm", "glu") if getattr(self, name))
        return replace(plan, kernels=kernels)

    def on_model(self, model: Any) -> Any:
        """The model with its layers' forward passes replaced; PlanError where the package or the model's kernels lack."""
        if importlib.util.find_spec("liger_kernel") is None:
            raise PlanError(
                f"plugins.liger: liger-kernel is not installed on this node; {_INSTALL} there, or {_WITHOUT}"
            )
        wanted = {
            "rope": self.rope,
            "rms_norm": self.rms_norm,
            "swiglu": self.glu,
            "geglu": self.glu,
            "cross_entropy": False,
            "fused_linear_cross_entropy": False,  # it would take trl's fused head out
        }
        from launcher.plugins.on_rank.liger_layers import with_layers

        return with_layers(model, wanted, _WITHOUT)
