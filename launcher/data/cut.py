"""An encoded example as documents of at most model.max_length tokens, and the count of what is cut, split and left out."""

from collections import Counter
from dataclasses import dataclass, field

from launcher.data.kinds import Example
from launcher.data.part import bucket, histogram

IGNORED = -100
"""Label of a token that is not trained on. Source: torch.nn.CrossEntropyLoss, ignore_index."""
Encoded = dict[str, list[int]]


@dataclass(slots=True)
class Cut:
    """What became of the examples of a set."""

    examples: int = 0
    left_out: int = 0
    """Examples without a trained token within model.max_length."""
    cut: int = 0
    """Examples that were cut at the end."""
    tokens_cut: int = 0
    split: int = 0
    """Plain texts that became several documents."""
    tokens: int = 0
    trained_tokens: int = 0
    """Tokens that the loss counts: the first token of a document is never predicted."""
    lengths: Counter[int] = field(default_factory=Counter[int])
    """Examples by the bucket of their length before the cut."""

    def fit(self, example: Example, encoded: Encoded, max_length: int) -> list[Encoded]:
        """The documents of one example: several for a long plain text, all of which is trained on; otherwise its beginning.

        Empty if no token of it would be trained on.
        """
        size = len(encoded["input_ids"])
        self.examples += 1
        self.lengths[bucket(size)] += 1
        splits = "text" in example and "labels" not in example and "parts" not in example
        starts = range(0, size, max_length) if splits else (0,)
        pieces = [
            {name: values[start : start + max_length] for name, values in encoded.items()} for start in starts
        ]
        trained = [sum(label != IGNORED for label in piece["labels"][1:]) for piece in pieces]
        kept = [piece for piece, count in zip(pieces, trained, strict=True) if count]
        if not kept:
            self.left_out += 1
            return []
        self.split += len(pieces) > 1
        if size > max_length and len(pieces) == 1:
            self.cut += 1
            self.tokens_cut += size - max_length
        self.tokens += sum(len(piece["input_ids"]) for piece in kept)
        self.trained_tokens += sum(trained)
        return kept

    def to_dict(self) -> dict[str, int | dict[str, int]]:
        """The counts that a rank records; those of the documents are counted after they are packed."""
        return {
            "examples": self.examples,
            "left_out": self.left_out,
            "cut": self.cut,
            "split": self.split,
            "lengths": histogram(self.lengths),
        }
