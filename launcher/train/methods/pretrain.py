"""Continued pre-training on plain text: supervised training on every token."""

from launcher.train.methods.sft import arguments, make

__all__ = ["arguments", "make"]
