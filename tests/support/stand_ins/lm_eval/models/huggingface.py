"""The stand-in's wrapper of a model."""

from typing import Any


class HFLM:
    """A model that is evaluated."""

    def __init__(self, pretrained: Any, tokenizer: Any, batch_size: int) -> None:
        self.model, self.tokenizer, self.batch_size = pretrained, tokenizer, batch_size
