"""torch 2.13: Muon's step on matrices that FSDP2 has sharded.

Symptom: torch.optim.Muon takes DTensors without an error, and the update of a matrix on two ranks differs by a tenth from that
of one rank with the same gradient.
"""

from typing import Any

import torch
from torch.optim._muon import _adjust_lr, _zeropower_via_newtonschulz

from launcher.train.upstream.torch_dtensor_offset import offset_of


class ShardedMuon(torch.optim.Muon):
    """torch's Muon. Every rank gathers the momentum of a sharded matrix, orthogonalizes it, and takes its own rows."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step. Collective if a matrix is sharded."""
        if not any(hasattr(one, "full_tensor") for group in self.param_groups for one in group["params"]):
            return super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return None

    def _update(self, parameter: Any, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer = state["momentum_buffer"]
        buffer.lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer
        whole = _zeropower_via_newtonschulz(
            update.full_tensor(), group["ns_coefficients"], group["ns_steps"], group["eps"]
        )
        own = parameter.to_local()
        first = int(offset_of(parameter)[0])
        rate = _adjust_lr(group["lr"], group["adjust_lr_fn"], parameter.shape)
        own.mul_(1 - group["lr"] * group["weight_decay"])
        own.add_(whole.narrow(0, first, own.shape[0]), alpha=-rate)
