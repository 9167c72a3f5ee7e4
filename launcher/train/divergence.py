"""The loss of distillation: a divergence between two models' next-token distributions, mixed with the cross-entropy.

It goes over the tokens in chunks and computes the gradient of the logits in the forward pass, so that besides the two models'
logits only one tensor of their size exists, the gradient.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from launcher.data.mask import IGNORED
from launcher.plan.memory.teacher import CHUNK
from launcher.train.predicted import Predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What the loss of a token is made of: alpha * cross-entropy + (1 - alpha) * temperature^2 * divergence."""

    beta: float
    """0: forward KL, KL(teacher || student); 1: reverse KL; between them the generalized Jensen-Shannon divergence."""
    temperature: float
    """Both models' logits are divided by it before the divergence."""
    alpha: float
    """Share of the cross-entropy."""


def divergence(student: torch.Tensor, teacher: torch.Tensor, beta: float) -> torch.Tensor:
    """The divergence of each token, [tokens], between log-probabilities [tokens, outcomes] of both models.

    With m = beta * teacher + (1 - beta) * student it is beta * KL(teacher || m) + (1 - beta) * KL(student || m). Divided by
    beta it tends to the forward KL for beta -> 0, and divided by 1 - beta to the reverse KL for beta -> 1; beta = 0 and
    beta = 1 therefore stand for these two.
    Source: Agarwal et al., GKD (arXiv 2306.13649), equation 1, and trl 1.16, experimental/gkd/gkd_trainer.py.
    """
    if beta == 0:
        return _kl(teacher, student)
    if beta == 1:
        return _kl(student, teacher)
    share = torch.tensor(beta, dtype=student.dtype, device=student.device)
    mean = torch.logaddexp(student + torch.log1p(-share), teacher + torch.log(share))
    return beta * _kl(teacher, mean) + (1 - beta) * _kl(student, mean)


def token_losses(
    student: torch.Tensor, teacher: Predicted, targets: torch.Tensor, mix: Mix
) -> tuple[torch.Tensor, torch.Tensor]:
    """(divergences, cross-entropies) of the tokens, both [tokens] and 0 where the target is ignored.

    `student`: fp32 logits [tokens, vocabulary].
    """
    found = divergence(*teacher.beside(student, mix.temperature), mix.beta)
    entropies = functional.cross_entropy(student, targets, ignore_index=IGNORED, reduction="none")
    return torch.where(targets != IGNORED, found, 0.0), entropies


def distillation_loss(
    student: torch.Tensor, teacher: Predicted, targets: torch.Tensor, mix: Mix, chunk: int = CHUNK
) -> tuple[torch.Tensor, torch.Tensor]:
    """(the sum of the tokens' losses, [sum of divergences, sum of cross-entropies] without a gradient).

    `student`: logits [tokens, vocabulary] in any format; `targets`: [tokens]; `chunk`: number of logits that are processed at
    once.
    """
    total, sums = _Chunked.apply(student, teacher, targets, mix, chunk)  # pyright: ignore
    return total, sums


class _Chunked(torch.autograd.Function):
    """The loss over chunks of tokens, with the gradient of the student's logits."""

    @staticmethod
    def forward(ctx: Any, student: Any, teacher: Predicted, targets: Any, mix: Mix, chunk: int) -> Any:
        wanted, rows = ctx.needs_input_grad[0], max(chunk // student.shape[1], 1)
        gradient = torch.empty_like(student) if wanted else None
        sums = torch.zeros(2, dtype=torch.float64, device=student.device)
        total = torch.zeros((), dtype=torch.float32, device=student.device)
        for first in range(0, len(student), rows):
            part = slice(first, first + rows)
            with torch.set_grad_enabled(wanted), torch.autocast(student.device.type, enabled=False):
                own = student[part].detach().float().requires_grad_(wanted)
                apart, entropies = token_losses(own, teacher.part(part), targets[part], mix)
                loss = mix.alpha * entropies.sum() + (1 - mix.alpha) * mix.temperature**2 * apart.sum()
                if gradient is not None:
                    gradient[part] = torch.autograd.grad(loss, own)[0].to(gradient.dtype)
            total += loss.detach()
            sums += torch.stack([apart.detach().double().sum(), entropies.detach().double().sum()])
        ctx.gradient = gradient
        ctx.mark_non_differentiable(sums)
        return total, sums

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        gradient, ctx.gradient = ctx.gradient, None
        return gradient.mul_(grads[0]), None, None, None, None


def _kl(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """KL(one || other) of each token, [tokens], from log-probabilities."""
    return functional.kl_div(other, one, reduction="none", log_target=True).sum(-1)
