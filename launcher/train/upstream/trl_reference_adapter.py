"""trl 1.16: the copy of an adapter that its trainers keep as the reference model.

Symptom: dpo, kto and grpo add an adapter named `ref`, a copy of the trained one at its start (dpo_trainer.py), and offer no
option to leave it out. Where the adapter starts as zero, the model without any adapter is the same, and the copy only takes
memory. It would be exported beside the trained adapter.
"""

from typing import Any

_NAME = "ref"


def leave_out_copy(trainer: Any) -> None:
    """Removes the copy if the adapter starts as zero."""
    model = trainer.model
    if _NAME not in getattr(model, "peft_config", {}):
        return
    second = [parameter for name, parameter in model.named_parameters() if f"lora_B.{_NAME}." in name]
    if second and not any(bool(parameter.any()) for parameter in second):
        model.delete_adapter(_NAME)


def forget_copy(trainer: Any) -> None:
    """Removes the copy in any case, before the export."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if _NAME in getattr(model, "peft_config", {}):
        model.delete_adapter(_NAME)
