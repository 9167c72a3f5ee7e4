"""Continued pre-training on plain text: supervised training on every token."""

from launcher.train.methods.sft import TRAINER, arguments, make, rows

__all__ = ["TRAINER", "arguments", "make", "rows"]
