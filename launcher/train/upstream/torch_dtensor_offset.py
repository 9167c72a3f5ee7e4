"""torch 2.13: the offset of a rank's part of a DTensor.

Symptom: DTensor tells the local tensor and its placements, but not its offset in the whole tensor, which is uneven if the
first dimension is not a multiple of the ranks. The one function that computes it is in the private module `tensor._utils`.
"""

from typing import Any


def offset_of(parameter: Any) -> tuple[int, ...]:
    """Index of the first element of this rank's part in each dimension of the whole tensor."""
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    _, offset = compute_local_shape_and_global_offset(
        parameter.shape, parameter.device_mesh, parameter.placements
    )
    return tuple(int(number) for number in offset)
