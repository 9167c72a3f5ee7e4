"""trainer.args: fields of transformers' TrainingArguments that have no key of their own, passed on as they are.

Names and types are copied as data because a login node has no transformers; a test compares them with the installed version.
"""

from collections.abc import Mapping
from typing import Any

from launcher.config import Config
from launcher.errors import PlanError, unknown

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}

# fmt: off
FIELDS: Mapping[str, tuple[type, ...]] = {
    "optim_args": (str,), "optim_target_modules": (str, list), "bf16_full_eval": (bool,), "tf32": (bool,),
    "torch_compile_backend": (str,), "torch_compile_mode": (str,), "use_cache": (bool,), "torch_empty_cache_steps": (int,),
    "log_on_each_node": (bool,), "log_level": (str,), "log_level_replica": (str,), "include_num_input_tokens_seen": (str,),
    "trackio_space_id": (str,), "trackio_bucket_id": (str,), "trackio_static_space_id": (str,), "eval_delay": (int, float),
    "prediction_loss_only": (bool,), "eval_do_concat_batches": (bool,), "eval_use_gather_object": (bool,),
    "eval_accumulation_steps": (int,), "include_for_metrics": (list,), "batch_eval_metrics": (bool,),
    "full_determinism": (bool,), "dataloader_pin_memory": (bool,), "label_names": (list,), "ddp_bucket_cap_mb": (int,),
    "ddp_static_graph": (bool,), "ddp_backend": (str,), "ddp_find_unused_parameters": (bool,), "ddp_broadcast_buffers": (bool,),
    "debug": (str, list), "skip_memory_metrics": (bool,),
}
"""Fields that are passed on, and their types. Source: transformers 5.23, training_args.py."""

SET_HERE: Mapping[str, str] = {
    "logging_first_step": "the first step is always logged",
    "logging_nan_inf_filter": "a loss that is NaN or infinite is never filtered",
    "eval_on_start": "a run with evaluation data is evaluated before and after training",
    "save_only_model": "a checkpoint holds the optimizer, so that a run can resume; `launcher export` writes the weights alone",
    "enable_jit_checkpoint": "a run is saved before a pre-emption and the time limit without it",
    "ignore_data_skip": "the launcher's own order of rows starts a resumed run at the right row",
    "restore_callback_states_from_checkpoint": "the launcher's own checkpoints hold the states of callbacks",
    "activation_checkpointing_kwargs": "'plugin=[gradient_checkpointing]' sets it",
    "liger_kernel_config": "'plugin=[liger]' sets it",
    "project": "tracker.project sets it",
    "greater_is_better": "plugins.early_stopping.greater_is_better sets it",
    "push_to_hub": "nothing is uploaded while a run trains",
    "hub_private_repo": "nothing is uploaded while a run trains",
    "hub_model_id": "nothing is uploaded while a run trains",
    "hub_strategy": "nothing is uploaded while a run trains",
    "hub_always_push": "nothing is uploaded while a run trains",
    "hub_revision": "nothing is uploaded while a run trains",
    "accelerator_config": "the launcher's own order of rows leaves nothing for it to set",
    "parallelism_config": "strategy sets it",
    "dataloader_persistent_workers": "one loader serves the whole run",
    "dataloader_drop_last": "every step has a full batch",
    "dataloader_multiprocessing_context": "the launcher's own loader does not read it",
    "dataloader_in_order": "the launcher's own loader does not read it",
    "train_sampling_strategy": "the launcher's own order of rows depends on seed alone, so that a run can resume",
    "average_tokens_across_devices": "the loss is always the mean over the tokens of all ranks",
    "label_smoothing_factor": "the launcher's own loss has no label smoothing; trainer=dpo has trainer.label_smoothing",
    "fp16_full_eval": "fp16 is not supported; use trainer.args.bf16_full_eval=true",
}
"""Fields that the launcher sets itself and that no key changes, with the reason."""
# fmt: on


_OWN = ("trainer.logging_steps", "trainer.eval_steps", "seed")
"""Fields that are keys here under the same name, and no other tool's names."""


def passed_on(config: Config) -> dict[str, Any]:
    """The fields of trainer.args; PlanError for an unknown one, one that has a key of its own, and a value of another type.

    null leaves a field at the default of transformers.
    """
    for name, value in config.trainer.args.items():
        _check(name, value)
    return {name: value for name, value in config.trainer.args.items() if value is not None}


def _check(name: str, value: Any) -> None:
    key = f"trainer.args.{name}"
    if name in FIELDS:
        kinds = FIELDS[name]
        if value is not None and type(value) not in kinds:
            words = " or ".join(_WORDS[kind] for kind in kinds)
            raise PlanError(f"{key}={value} must be {words}, as in transformers' TrainingArguments")
        return
    if name in SET_HERE:
        raise PlanError(f"{key} cannot be set: {SET_HERE[name]}")
    if own := next((one for one in _OWN if one.rpartition(".")[2] == name), None):
        raise PlanError(f"{key}: here {own}")
    from launcher.config.other_names import counterpart  # read for a refusal alone

    if found := counterpart(name):
        raise PlanError(found.answer(key))
    raise PlanError(f"{key}: {unknown('field of TrainingArguments', name, FIELDS)}")
