"""accelerate 1.15: DeepSpeed's process group on CPU ranks.

Symptom: PartialState (state.py) calls deepspeed.init_distributed on GPUs only. On CPU ranks DeepSpeed has no communication
backend of its own when ZeRO-3 starts to shard, and it assumes a world of one rank.
"""


def init_deepspeed_on_cpu() -> None:
    """Gives DeepSpeed its communication backend. Call it once torch's process group exists, before the model is loaded."""
    import deepspeed

    deepspeed.init_distributed(dist_backend="gloo", auto_mpi_discovery=False)
