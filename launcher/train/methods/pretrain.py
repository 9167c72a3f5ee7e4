"""Continued pre-training on plain text: supervised training, in which every token is trained on."""

from launcher.train.methods.sft import arguments, make

__all__ = ["arguments", "make"]
