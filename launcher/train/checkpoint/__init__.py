"""Checkpoints on the ranks: what is saved, when, and how a rank goes on from it."""
