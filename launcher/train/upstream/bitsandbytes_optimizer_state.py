"""bitsandbytes 0.50: optimizer state before the first step.

Symptom: the state is made inside `step`, by methods that are not documented. A checkpoint is restored before the first step,
into state whose parts differ with the size of the parameter and the optimizer.
"""

from typing import Any


def make_state(optimizer: Any) -> bool:
    """Makes the state of every parameter, as the first step would; False for an optimizer of another library."""
    if not hasattr(optimizer, "init_state"):
        return False
    if not optimizer.initialized:
        optimizer.check_overrides()
        optimizer.to_gpu()
        optimizer.initialized = True
    for number, group in enumerate(optimizer.param_groups):
        for index, parameter in enumerate(group["params"]):
            if not optimizer.state[parameter]:
                optimizer.init_state(group, parameter, number, index)
    return True
