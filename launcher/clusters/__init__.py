"""The places where a run goes: Slurm, an allocation, this machine."""
