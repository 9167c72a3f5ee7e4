"""Slurm."""

from launcher.clusters.slurm.cluster import Slurm

SPEC = Slurm()
