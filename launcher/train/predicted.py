"""What a teacher predicts at some tokens, in two forms: logits of a model, or the most likely next tokens that were stored."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional


class Predicted(Protocol):
    """The predictions of a teacher at some tokens. An outcome is a next token, or several that count as one."""

    def part(self, tokens: slice) -> "Predicted":
        """The predictions at some of these tokens."""
        ...

    def beside(self, student: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """(log-probabilities of the student, of the teacher), both [tokens, outcomes], from the student's fp32 logits
        [tokens, vocabulary]."""
        ...


@dataclass(frozen=True, slots=True)
class Logits:
    """The teacher's logits [tokens, vocabulary], in any format.

    The heads of two models with the same tokenizer can have different numbers of unused rows; the probabilities are over the
    rows that both have.
    """

    logits: torch.Tensor

    def part(self, tokens: slice) -> "Logits":
        """The predictions at some of these tokens."""
        return Logits(self.logits[tokens])

    def beside(self, student: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """As in Predicted; each outcome is one next token."""
        both = min(student.shape[1], self.logits.shape[1])
        mine, its = (
            functional.log_softmax(one[:, :both].float() / temperature, dim=-1)
            for one in (student, self.logits)
        )
        return mine, its


@dataclass(frozen=True, slots=True)
class TopTokens:
    """The teacher's most likely next tokens. All others count as one outcome, if there are others."""

    ids: torch.Tensor
    """[tokens, top_k]"""
    log_probs: torch.Tensor
    """[tokens, top_k], and one more column for all others if there are others: at the temperature of the loss."""
    vocabulary: int
    """Size of the vocabulary to which the probabilities belong."""

    def part(self, tokens: slice) -> "TopTokens":
        """The predictions at some of these tokens."""
        return TopTokens(self.ids[tokens], self.log_probs[tokens], self.vocabulary)

    def beside(self, student: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """As in Predicted; the last outcome is any other next token."""
        mine = functional.log_softmax(student[:, : self.vocabulary] / temperature, dim=-1)
        return at_ids(mine, self.ids, rest=self.log_probs.shape[1] > self.ids.shape[1]), self.log_probs


def at_ids(log_probs: torch.Tensor, ids: torch.Tensor, *, rest: bool) -> torch.Tensor:
    """Log-probabilities of the next tokens with these ids, [tokens, ids], with `rest` that of all others together in one more
    column."""
    found = log_probs.gather(1, ids)
    if not rest:
        return found
    others = log_probs.scatter(1, ids, float("-inf")).logsumexp(1, keepdim=True)
    return torch.cat([found, others], 1)


def top_tokens(
    logits: torch.Tensor, top_k: int, vocabulary: int, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, log-probabilities) of the most likely next tokens, as TopTokens has them, from logits [tokens, vocabulary]."""
    log_probs = functional.log_softmax(logits[:, :vocabulary].float() / temperature, dim=-1)
    ids = log_probs.topk(top_k, dim=1).indices
    return ids, at_ids(log_probs, ids, rest=top_k < vocabulary)
