"""The keys of transformers' TrainingArguments, trl's configurations and peft, which several tools take over.

Source: transformers 5.23, training_args.py; trl 1.16, *_config.py and script_utils.py.
"""

from collections.abc import Mapping
from typing import Any, cast

from launcher.recipes import parts
from launcher.recipes.base import Draft, Lost, Step, absent, is_off, plugin, same, to
from launcher.run.find import as_name

HUB = "the result stays in the run dir; set hub.push=OWNER/NAME, or type `launcher push RUN`"


def _report(draft: Draft, key: str, value: Any) -> None:
    parts.tracker(draft, key, value)


def _checkpointing(draft: Draft, key: str, value: Any) -> None:
    plugin("gradient_checkpointing")(draft, key, value)


def reentrant(draft: Draft, key: str, value: Any) -> None:
    """plugins.gradient_checkpointing.use_reentrant, where gradient checkpointing is on."""
    switch = "plugins.gradient_checkpointing"
    on = switch in draft.entries or not is_off(draft.get("gradient_checkpointing"))
    if on and isinstance(value, dict) and "use_reentrant" in value:
        draft.carry(key, f"{switch}.use_reentrant", bool(cast("dict[str, Any]", value)["use_reentrant"]))
    else:
        draft.same(key, "gradient checkpointing is off")


def _resume(draft: Draft, key: str, value: Any) -> None:
    if is_off(value) or value is True:
        draft.same(key, "a run resumes from its own newest checkpoint")
    else:
        draft.carry(key, "resume", str(value))


def warmup(value: Any) -> float:
    """Steps, or a share of all steps; Lost for any other value."""
    number = float(value)
    if number < 0:
        raise Lost(f"{value} is not a number of steps")
    return number


def _tf32(draft: Draft, key: str, value: Any) -> None:
    if is_off(value):
        draft.same(key, "off")
    elif value is True:
        draft.carry(key, "trainer.args.tf32", True)
    else:
        draft.absent(key, "operations that stay in fp32 follow torch's own setting")


TRAINING: Mapping[str, Step] = {
    "learning_rate": to("trainer.learning_rate", float),
    "num_train_epochs": to("trainer.num_train_epochs", float),
    "max_steps": to("trainer.max_steps", int),
    "lr_scheduler_type": to("trainer.lr_scheduler_type", parts.scheduler),
    "lr_scheduler_kwargs": to("trainer.lr_scheduler_kwargs", dict),
    "warmup_ratio": to("trainer.warmup_steps", warmup),
    "warmup_steps": to("trainer.warmup_steps", warmup),
    "weight_decay": to("trainer.weight_decay", float),
    "max_grad_norm": to("trainer.max_grad_norm", float),
    "optim": to("trainer.optim", parts.optimizer),
    "adam_beta1": to("trainer.adam_beta1", float),
    "adam_beta2": to("trainer.adam_beta2", float),
    "adam_epsilon": to("trainer.adam_epsilon", float),
    "logging_steps": to("trainer.logging_steps", int),
    "logging_strategy": same("logged every trainer.logging_steps"),
    "logging_first_step": same("the first step is logged"),
    "logging_dir": same("a tracker's files are in the run dir"),
    "log_level": same("logs/ has the ranks' output"),
    "disable_tqdm": same("logs have no progress bar"),
    "seed": to("seed", int),
    "data_seed": same("the data's order follows from seed"),
    "report_to": _report,
    "run_name": to("name", as_name),
    "output_dir": same("a launch makes a folder of its own under runs_dir"),
    "overwrite_output_dir": same("a launch makes a folder of its own"),
    "do_train": same("a launch trains"),
    "do_predict": absent("`launcher evaluate` and `launcher chat` follow the training"),
    "gradient_checkpointing": _checkpointing,
    "gradient_checkpointing_kwargs": reentrant,
    "resume_from_checkpoint": _resume,
    "per_device_eval_batch_size": to("batch.eval_micro_batch_size", int),
    "dataloader_num_workers": to("data.num_workers", int),
    "dataloader_prefetch_factor": to("data.prefetch_factor", int),
    "dataloader_pin_memory": lambda draft, key, value: (
        draft.same(key, "batches go to a GPU from pinned memory")
        if value
        else draft.carry(key, "trainer.args.dataloader_pin_memory", False)
    ),
    "dataset_num_proc": same("the ranks of a node share the tokenization"),
    "preprocessing_num_workers": same("the ranks of a node share the tokenization"),
    "remove_unused_columns": same("keys that are not part of the row's format never reach the model"),
    "ddp_timeout": to("resources.ddp_timeout_s", int),
    "ddp_find_unused_parameters": same("every trained weight has a gradient"),
    "save_total_limit": to(f"{parts.SAVES}.keep_last", int),
    "save_only_model": lambda draft, key, value: (
        draft.same(key, "off") if is_off(value) else draft.carry(key, f"{parts.SAVES}.weights_only", True)
    ),
    "save_safetensors": same("the result is safetensors"),
    "save_on_each_node": same("checkpoints are on the shared file system"),
    "load_best_model_at_end": plugin("early_stopping"),
    "use_liger_kernel": plugin("liger"),
    "torch_compile": to("trainer.torch_compile", bool),
    "neftune_noise_alpha": to("plugins.neftune.noise_alpha", float),
    "group_by_length": absent("trainer.packing=true avoids padding, too"),
    "average_tokens_across_devices": same("the loss is a mean over the tokens of all ranks"),
    "tf32": _tf32,
    "include_tokens_per_second": same("metrics.jsonl has tokens per second"),
    "include_num_input_tokens_seen": same("metrics.jsonl has the number of tokens"),
    "accelerator_config": absent("accelerate.yaml is written from the plan"),
    "push_to_hub": absent(HUB),
    "hub_model_id": absent(HUB),
    "hub_strategy": absent(HUB),
    "hub_private_repo": absent(HUB),
    "hub_model_revision": absent(HUB),
    "hub_token": absent("secrets are inherited from the environment"),
    "fp8": absent("FP8 training is not supported"),
}  # fmt: skip

MODEL: Mapping[str, Step] = {
    "model_name_or_path": to("model.name_or_path", str),
    "model_revision": lambda draft, key, value: (
        draft.same(key, "main is the default branch")
        if value == "main"
        else draft.carry(key, "model.revision", str(value))
    ),
    "trust_remote_code": to("model.trust_remote_code", bool),
    "attn_implementation": to("model.attn_implementation", parts.attention),
}

LORA: Mapping[str, str] = {
    "lora_r": "r",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "lora_target_modules": "target_modules",
    "lora_modules_to_save": "modules_to_save",
    "lora_target_parameters": "target_parameters",
    "use_rslora": "use_rslora",
    "use_dora": "use_dora",
}

METHODS: Mapping[str, Step] = {
    "beta": to("trainer.beta", float),
    "loss_type": to("trainer.loss_type", str),
    "label_smoothing": to("trainer.label_smoothing", float),
    "desirable_weight": to("trainer.desirable_weight", float),
    "undesirable_weight": to("trainer.undesirable_weight", float),
    "center_rewards_coefficient": to("trainer.center_rewards_coefficient", float),
    "disable_dropout": to("trainer.disable_dropout", bool),
    "num_generations": to("trainer.num_generations", int),
    "max_completion_length": to("trainer.max_completion_length", int),
    "temperature": to("trainer.temperature", float),
    "top_p": to("trainer.top_p", float),
    "top_k": to("trainer.top_k", int),
    "repetition_penalty": to("trainer.repetition_penalty", float),
    "epsilon": to("trainer.epsilon", float),
    "scale_rewards": to(
        "trainer.scale_rewards", lambda value: {True: "group", False: "none"}.get(value, str(value))
    ),
    "max_prompt_length": same("prompts may use the rest of model.max_length"),
    "packing": parts.packing,
    "packing_strategy": same("documents are packed by best fit"),
    "padding_free": same("packed rows have no padding"),
    "eval_packing": same("evaluation rows are read one by one"),
    "assistant_only_loss": to("trainer.assistant_only_loss", bool),
    "completion_only_loss": to("trainer.assistant_only_loss", bool),
    "max_length": to("model.max_length", int),
    "max_seq_length": to("model.max_length", int),
    "dataset_kwargs": absent("the format of the rows and the chat template determine the tokens"),
    "dataset_text_field": same("a row with the key `text` is plain text"),
    "activation_offloading": to("trainer.activation_offloading", bool),
    "chat_template": lambda draft, key, value: template(draft, key, value),
    "chat_template_path": to("model.chat_template", str),
    "eos_token": to("model.eos_token", str),
    "pad_token": to("model.pad_token", str),
    "log_completions": absent("trainer.sample_prompt shows an answer before and after training"),
}


def template(draft: Draft, key: str, value: Any) -> None:
    """model.chat_template: a name, or the text of a template, which is written to a file next to the configuration."""
    text = str(value)
    if "{" in text:
        draft.carry(key, "model.chat_template", TEMPLATE_FILE, "the recipe's text, written to this file")
    else:
        parts.template(draft, key, text)


TEMPLATE_FILE = "chat_template.jinja"
"""Placeholder for the path of the file into which the converter writes a template that is text in the recipe."""
