"""Continued pre-training on plain text: supervised training on every token."""

from launcher.train.methods.sft import arguments, make, rows

__all__ = ["arguments", "make", "rows"]
