"""Continued pre-training on plain text: supervised training, in which every token is trained on."""

from launcher.train.methods.sft import ARGUMENTS, make

__all__ = ["ARGUMENTS", "make"]
