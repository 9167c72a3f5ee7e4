"""Faults on a real Slurm cluster, with real training on two nodes."""
