"""Checkpoints on the ranks: what is saved, when, and how a rank resumes from it."""
