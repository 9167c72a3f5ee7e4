"""Plan, launch and follow LLM fine-tunes, on this machine or over many Slurm nodes."""

__version__ = "0.1.0"
