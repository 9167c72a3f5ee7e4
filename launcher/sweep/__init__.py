"""Sweeps, which are many runs from one command: expanding, queueing, claiming and reading trials."""
