"""trl 1.16: data sets that are tokenized already.

Symptom: the trainers of dpo, kto and reward tokenize their data in `_prepare_dataset`, without a public option to leave it out.
Rows of token ids would go through their chat template and truncation again, and fail on the missing text columns.
"""

from typing import Any


class TokenizedRows:
    """A mixin before one of trl's trainers: the data stays unchanged."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        """The data set, unchanged."""
        return dataset
