"""trl 1.16: the format of a reward model's head over 4-bit weights.

Symptom: trl casts all trained parameters over 4-bit weights to bf16. An adapter casts its input, but the head of a reward model
does not, and its first forward pass stops with "expected m1 and m2 to have the same dtype".
"""

from typing import Any


def restore_head(model: Any, dtype: Any) -> None:
    """Casts the trained head back to the format of its input."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "modules_to_save" in name:
            parameter.data = parameter.data.to(dtype)
