"""What a teacher predicts for some tokens, in two forms: logits of a model, or the most likely words that were stored."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional


class Predicted(Protocol):
    """The predictions of a teacher for tokens in a row."""

    def part(self, tokens: slice) -> "Predicted":
        """Those for some of the tokens."""
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
        """Those for some of the tokens."""
        return Logits(self.logits[tokens])

    def beside(self, student: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """As Predicted says; an outcome is a word."""
        both = min(student.shape[1], self.logits.shape[1])
        mine, its = (
            functional.log_softmax(one[:, :both].float() / temperature, dim=-1)
            for one in (student, self.logits)
        )
        return mine, its


@dataclass(frozen=True, slots=True)
class TopWords:
    """The teacher's most likely words; all others count as one outcome, unless the words are all that there are."""

    ids: torch.Tensor
    """[tokens, top_k]"""
    log_probs: torch.Tensor
    """[tokens, top_k], and one more column if other words are left out: at the temperature of the loss."""
    vocabulary: int
    """Words that the probabilities are over."""

    def part(self, tokens: slice) -> "TopWords":
        """Those for some of the tokens."""
        return TopWords(self.ids[tokens], self.log_probs[tokens], self.vocabulary)

    def beside(self, student: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """As Predicted says; the last outcome is any other word."""
        mine = functional.log_softmax(student[:, : self.vocabulary] / temperature, dim=-1)
        return at_words(mine, self.ids, rest=self.log_probs.shape[1] > self.ids.shape[1]), self.log_probs


def at_words(log_probs: torch.Tensor, ids: torch.Tensor, *, rest: bool) -> torch.Tensor:
    """Log-probabilities of these words, [tokens, words], with `rest` those of all other words together in one more column."""
    found = log_probs.gather(1, ids)
    if not rest:
        return found
    others = log_probs.scatter(1, ids, float("-inf")).logsumexp(1, keepdim=True)
    return torch.cat([found, others], 1)


def top_words(
    logits: torch.Tensor, top_k: int, vocabulary: int, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, log-probabilities) of each token's most likely words, as TopWords has them, from logits [tokens, vocabulary]."""
    log_probs = functional.log_softmax(logits[:, :vocabulary].float() / temperature, dim=-1)
    ids = log_probs.topk(top_k, dim=1).indices
    return ids, at_words(log_probs, ids, rest=top_k < vocabulary)
