"""Liger: fused Triton kernels for norms, rotary embeddings and the gated product of the MLP, on GPUs.

Memory: the MLP keeps two wide activations instead of three, and a norm keeps its input in the format of the residual stream
instead of fp32. trl's fused head remains in use, so the memory of the logits does not change. Speed: there are fewer passes
over memory; this project has not measured it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from launcher.errors import PlanError
from launcher.packages import Package, missing
from launcher.plan.traits import Traits
from launcher.plugins.base import Plugin, check_types

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan

_LIGER = Package(module="liger_kernel", name="liger-kernel", install="pip install liger-kernel==0.8.5")
_WITHOUT = "remove liger from plugin=[...]"


@dataclass(frozen=True, kw_only=True)
class Liger(Plugin):
    """liger-kernel's layers. Source: Hsu et al., arXiv 2410.10989."""

    rope: bool = True
    """Fused rotary embeddings."""
    rms_norm: bool = True
    """Fused norms."""
    glu: bool = True
    """Fused gated product of the MLP: SwiGLU, or GeGLU for models that have it."""

    def __post_init__(self) -> None:
        check_types(self, "plugins.liger")
        if not (self.rope or self.rms_norm or self.glu):
            raise ValueError(
                "plugins.liger does nothing if rope, rms_norm and glu are all false; remove it from plugin=[...]"
            )

    @property
    def packages(self) -> tuple[Package, ...]:
        """liger-kernel."""
        return (_LIGER,)

    @property
    def traits(self) -> Traits:
        """It uses GPU kernels."""
        return Traits(gpu_kernels=True)

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """The plan with the fused layers, which the memory estimate takes into account and the rules refuse on CPU ranks."""
        kernels = tuple(name for name in ("rope", "rms_norm", "glu") if getattr(self, name))
        return replace(plan, kernels=kernels)

    def on_model(self, model: Any) -> Any:
        """The model with the forward passes of its layers replaced.

        PlanError if the package is missing on this node or has no kernels for the model.
        """
        if missing(self.packages):
            raise PlanError(
                f"plugins.liger: liger-kernel is not installed on this node; {_LIGER.install} there, or {_WITHOUT}"
            )
        wanted = {
            "rope": self.rope,
            "rms_norm": self.rms_norm,
            "swiglu": self.glu,
            "geglu": self.glu,
            "cross_entropy": False,
            "fused_linear_cross_entropy": False,  # it would replace trl's fused head
        }
        from launcher.plugins.on_rank.liger_layers import with_layers

        return with_layers(model, wanted, _WITHOUT)

    def set_aside(self) -> AbstractContextManager[None]:
        """transformers' own classes and functions, which liger-kernel has replaced for every model of this process."""
        from launcher.plugins.on_rank.liger_layers import originals

        return originals()
