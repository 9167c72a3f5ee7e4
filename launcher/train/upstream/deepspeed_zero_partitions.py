"""DeepSpeed 0.19.8: the place of a parameter in ZeRO's flat fp32 partitions, and the update of the weights from them.

Symptom: no public function tells the first. The second is private in stage 3: after a change of the fp32 partitions,
stage3.py copies them to the 16-bit weights in `_reassign_or_swap_out_partitioned_parameters` only, which a step calls.
"""

from typing import Any


def fragment_of(parameter: Any) -> Any:
    """Addresses of this rank's part of a parameter under stages 1 and 2; None if the rank has no part of it."""
    return parameter._hp_mapping


def publish_stage3(zero: Any, group: int) -> None:
    """Copies the fp32 partition of a group to the weights that the forward pass reads."""
    zero._reassign_or_swap_out_partitioned_parameters(group)
