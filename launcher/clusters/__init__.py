"""The clusters that a run can use: Slurm, an allocation, this machine."""
