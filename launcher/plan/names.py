"""Names that transformers accepts, copied as data because a login node has no transformers. tests/training/test_names.py
compares them with the installed version."""

from launcher.config import TrainerConfig
from launcher.errors import PlanError, unknown
from launcher.packages import Package

OPTIMIZERS = (
    "adamw_torch", "adamw_torch_fused", "adamw_torch_xla", "adamw_torch_npu_fused", "adafactor", "adamw_anyprecision",
    "adamw_torch_4bit", "adamw_torch_8bit", "ademamix", "sgd", "adagrad", "adamw_bnb_8bit", "adamw_8bit", "ademamix_8bit",
    "lion_8bit", "lion_32bit", "paged_adamw_32bit", "paged_adamw_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit",
    "paged_lion_32bit", "paged_lion_8bit", "rmsprop", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit", "galore_adamw",
    "galore_adamw_8bit", "galore_adafactor", "galore_adamw_layerwise", "galore_adamw_8bit_layerwise",
    "galore_adafactor_layerwise", "lomo", "adalomo", "grokadamw", "schedule_free_radam", "schedule_free_adamw",
    "schedule_free_sgd", "apollo_adamw", "apollo_adamw_layerwise", "stable_adamw",
)  # fmt: skip
"""trainer.optim. Source: transformers 5.23, training_args.py, OptimizerNames."""

MUON = "muon"
"""trainer.optim of this project's own: Muon for the matrices of hidden layers, and AdamW for the rest."""
SCHEDULERS = (
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt",
    "reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay", "greedy",
)  # fmt: skip
"""trainer.lr_scheduler_type. Source: transformers 5.23, trainer_utils.py, SchedulerType."""

ATTENTION = ("sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention", "flex")
"""model.attn_implementation; a name with a slash is a kernel from the hub. `flex` is short for flex_attention."""
_KERNELS = Package(module="kernels", name="kernels", install="pip install kernels")
ATTENTION_PACKAGES = {
    "flash_attention_2": (
        Package(
            module="flash_attn", name="flash-attn", install="pip install flash-attn --no-build-isolation"
        ),
        _KERNELS,
    ),
    "flash_attention_3": (
        Package(
            module="flash_attn_interface",
            name="flash-attn-3",
            install="install it from the hopper folder of flash-attention's repository",
        ),
        _KERNELS,
    ),
}
"""Packages, one of which must be installed. Source: transformers 5.23, modeling_utils.py, which falls back to kernels."""

ADAMW = ("adamw_torch", "adamw_torch_fused")
"""torch's AdamW, whose state checkpoints can hold under every strategy."""
BITSANDBYTES = (
    "adamw_bnb_8bit", "adamw_8bit", "lion_8bit", "lion_32bit", "paged_adamw_32bit", "paged_adamw_8bit", "paged_lion_32bit",
    "paged_lion_8bit",
)  # fmt: skip
"""Optimizers of bitsandbytes whose state a checkpoint can hold if every rank has all of it."""
_NEEDS = {
    "cosine_with_min_lr": ("min_lr", "min_lr_rate"),
    "cosine_warmup_with_min_lr": ("min_lr", "min_lr_rate"),
    "warmup_stable_decay": ("num_decay_steps",),
}
"""Schedule -> arguments of which it needs one. Source: transformers 5.23, optimization.py."""
_BY_METRIC = ("reduce_lr_on_plateau", "greedy")


_MEANT = {
    "adam": "adamw_torch", "adamw": "adamw_torch", "adam_torch": "adamw_torch", "fused_adam": "adamw_torch_fused",
    "fusedadam": "adamw_torch_fused", "adamw_fused": "adamw_torch_fused", "adam8bit": "adamw_8bit", "adam_8bit": "adamw_8bit",
    "paged_adamw": "paged_adamw_32bit", "lion": "lion_32bit",
}  # fmt: skip
"""What people mean by the short names of optimizers."""


def check_names(trainer: TrainerConfig) -> None:
    """PlanError for an optimizer or schedule that transformers does not know, or a schedule without a required argument."""
    known = (*OPTIMIZERS, MUON)
    if trainer.optim not in known:
        if meant := _MEANT.get(trainer.optim.lower()):
            raise PlanError(f"trainer.optim: unknown optimizer '{trainer.optim}'; did you mean {meant}?")
        raise PlanError(f"trainer.optim: {unknown('optimizer', trainer.optim, known)}")
    schedule = trainer.lr_scheduler_type
    if schedule not in SCHEDULERS:
        raise PlanError(f"trainer.lr_scheduler_type: {unknown('schedule', schedule, SCHEDULERS)}")
    needed = _NEEDS.get(schedule, ())
    if needed and not set(needed) & set(trainer.lr_scheduler_kwargs):
        raise PlanError(
            f"trainer.lr_scheduler_type={schedule} needs {' or '.join(needed)}; set "
            f"'trainer.lr_scheduler_kwargs.{needed[0]}=...', or use cosine"
        )
    if schedule in _BY_METRIC:
        raise PlanError(
            f"trainer.lr_scheduler_type={schedule} depends on a metric, so a resumed run could not reproduce the same losses; "
            "use cosine, linear or another schedule that depends on the step alone"
        )
