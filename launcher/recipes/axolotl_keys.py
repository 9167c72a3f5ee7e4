"""The keys of axolotl's recipes that are handled one by one, and the step for each."""

from collections.abc import Mapping
from typing import Any, cast

from launcher.recipes import arguments, experts, parts, sharding
from launcher.recipes.base import Draft, Fate, Lost, Step, absent, plugin, same, to
from launcher.run.find import as_name

_LIGER = "liger"
_KERNEL = absent("a kernel that only axolotl has; plugins.liger has fused kernels")
_PARALLEL = absent("layers and experts are not split; strategy=zero3 or fsdp2 shards the weights")
_OTHER = absent("specific to axolotl")
_VISION = absent("vision and audio inputs are not supported")
_SWANLAB = absent("SwanLab is not one of the trackers")


def _checkpointing(draft: Draft, key: str, value: Any) -> None:
    plugin("gradient_checkpointing")(draft, key, value)
    if value in ("offload", "offload_disk"):
        draft.put("trainer.activation_offloading", True)


def _special(draft: Draft, key: str, value: Any) -> None:
    named = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    ours = {"eos_token": "model.eos_token", "pad_token": "model.pad_token"}
    carried = False
    for name, text in named.items():
        if name in ours and text:
            draft.carry(key, ours[name], str(text))
            carried = True
    others = [name for name in named if name not in ours]
    if others and not carried:
        draft.same(key, f"{', '.join(others)}: the model's tokenizer has them")


def _plugins(draft: Draft, key: str, value: Any) -> None:
    names = [str(one) for one in cast("list[Any]", value or [])]
    if any(_LIGER in one for one in names):
        draft.carry(key, "plugins.liger", True)
    elif names:
        draft.absent(key, f"{', '.join(one.rpartition('.')[2] for one in names)}: plugins of axolotl's own")


def _tokens(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise Lost("a mapping of special tokens is not supported; set model.eos_token and model.pad_token")
    return [str(one) for one in cast("list[Any]", value)]


def _template(draft: Draft, key: str, value: Any) -> None:
    text = str(value)
    if text.startswith("tokenizer_default"):
        draft.same(key, "the template of the model is used")
    elif text == "jinja":
        draft.same(key, "chat_template_jinja has the template")
    else:
        arguments.template(draft, key, text)


_FOUR_BITS = {
    "bnb_4bit_quant_type": "quant_type", "bnb_4bit_use_double_quant": "double_quant",
    "bnb_4bit_compute_dtype": "compute_dtype", "bnb_4bit_quant_storage": "storage_dtype",
}  # fmt: skip


def _four_bits(draft: Draft, key: str, value: Any) -> None:
    """The options of 4-bit weights, if the recipe uses them."""
    if "plugins.qlora" not in draft.entries:
        draft.same(key, "there are no 4-bit weights")
        return
    draft.same(key, "each of its keys is listed")
    for name, given in cast("dict[str, Any]", value).items():
        if name in _FOUR_BITS:
            draft.put(f"plugins.qlora.{_FOUR_BITS[name]}", given)
        else:
            draft.nested(f"{key}.{name}", Fate.absent, "bitsandbytes' default is used")


OWN_KEYS: Mapping[str, Step] = {
    "base_model": to("model.name_or_path", str),
    "revision_of_model": to("model.revision", str),
    "base_model_config": same("config.json of the model is used"),
    "model_type": same("config.json names the class"),
    "tokenizer_type": same("tokenizer_config.json names the class"),
    "tokenizer_config": absent("the tokenizer is that of model.name_or_path"),
    "processor_type": _VISION,
    "lora_model_dir": to("model.adapter", str),
    "sequence_len": to("model.max_length", int),
    "num_epochs": to("trainer.num_train_epochs", float),
    "optimizer": to("trainer.optim", parts.optimizer),
    "lr_scheduler": to("trainer.lr_scheduler_type", parts.scheduler),
    "adam_eps": to("trainer.adam_epsilon", float),
    "eta_min": to("trainer.lr_scheduler_kwargs.min_lr", float),
    "sample_packing": parts.packing,
    "eval_sample_packing": same("evaluation rows are read one by one"),
    "pad_to_sequence_len": same("packed rows are full"),
    "pretrain_multipack_attn": same("attention stays within each document"),
    "streaming_multipack_buffer_size": same("rows are packed over the whole file"),
    "load_in_8bit": same("off"),
    "train_on_inputs": to("trainer.assistant_only_loss", lambda value: not value),
    "gradient_checkpointing": _checkpointing,
    "special_tokens": _special,
    "tokens": to("model.added_tokens", _tokens),
    "eot_tokens": absent("the loss covers the end of each answer as the chat template writes it"),
    "chat_template": _template,
    "chat_template_jinja": arguments.template,
    "dataset_prepared_path": same("tokens are cached in cache_dir"),
    "skip_prepare_dataset": same("tokens are made once"),
    "shuffle_merged_datasets": same("rows of several sets are mixed by the seed"),
    "push_dataset_to_hub": absent("tokens stay in cache_dir"),
    "dataset_exact_deduplication": absent("`launcher data check` finds duplicates"),
    "dataset_processes": same("the ranks of a node share the tokenization"),
    "rl_beta": to("trainer.beta", float),
    "orpo_alpha": to("trainer.beta", float),
    "kto_desirable_weight": to("trainer.desirable_weight", float),
    "kto_undesirable_weight": to("trainer.undesirable_weight", float),
    "early_stopping_patience": to("plugins.early_stopping.patience", int),
    "eval_batch_size": to("batch.eval_micro_batch_size", int),
    "auto_resume_from_checkpoints": same("a run resumes from its own newest checkpoint"),
    "wandb_name": to("name", as_name),
    "wandb_entity": absent("set WANDB_ENTITY in the environment"),
    "wandb_watch": absent("gradients are not sent to the tracker"),
    "wandb_log_model": absent("the result stays in the run dir"),
    "wandb_run_id": same("a run has one id over all attempts"),
    "use_wandb": same("tracker.kind"),
    "use_tensorboard": to("tracker.kind", lambda value: "tensorboard"),
    "trackio_project_name": to("tracker.project", str),
    "trackio_run_name": same("it is the name of the run"),
    "trackio_space_id": absent("set TRACKIO_SPACE_ID in the environment"),
    "liger_rope": to("plugins.liger.rope", bool),
    "liger_rms_norm": to("plugins.liger.rms_norm", bool),
    "liger_glu_activation": to("plugins.liger.glu", bool),
    "liger_layer_norm": absent("decoders have RMS norms; plugins.liger.rms_norm fuses them"),
    "liger_fused_linear_cross_entropy": same("plugins.liger fuses it"),
    "liger_rms_norm_gated": _KERNEL,
    "plugins": _plugins,
    "neftune_noise_alpha": to("plugins.neftune.noise_alpha", float),
    "loss_watchdog_threshold": absent("trainer.loss_spike is a ratio to recent losses, not a loss"),
    "loss_watchdog_patience": absent("trainer.loss_spike is a ratio to recent losses, not a loss"),
    "strict": same("an unknown key is always refused"),
    "debug": same("logs/ has the ranks' output"),
    "local_rank": same("the launcher chooses ranks"),
    "lora_fan_in_fan_out": same("the layers are found in the model"),
    "low_cpu_mem_usage": same("weights are loaded without a second copy"),
    "hf_use_auth_token": same("HF_TOKEN is inherited from the environment"),
    "device_map": same("each rank has its own GPU"),
    "ddp": same("strategy.engine"),
    "max_packed_sequence_len": absent("packed rows have model.max_length tokens"),
    "resize_token_embeddings_to_32x": absent("the vocabulary has the size that the tokens need"),
    "full_finetune": same("all weights are trained without an adapter"),
    "tokenizer_use_fast": same("fast tokenizers are used"),
    "tokenizer_legacy": absent("the tokenizer is used as it is published"),
    "tokenizer_use_mistral_common": absent("transformers' tokenizer is used"),
    "center_rewards_coefficient": arguments.METHODS["center_rewards_coefficient"],
    "num_labels": same("the method determines the model's head"),
    "activation_offloading": to("trainer.activation_offloading", bool),
    "bnb_config_kwargs": _four_bits,
    "peft": absent("plugins.lora has the options of an adapter"),
    **dict.fromkeys(("model_config", "overrides_of_model_config"), experts.balance_of_config),
    experts.BALANCE: experts.balance,
    "tiled_mlp_use_original_mlp": same("the model's own MLP is computed in tiles"),
    "unfrozen_parameters": absent("all weights are trained, or an adapter with plugins.lora.modules_to_save"),
    "flash_optimum": absent("BetterTransformer is part of torch's sdpa"),
    "xformers_attention": absent("model.attn_implementation is sdpa or flash_attention_2"),
    "trl": absent("trl's own keys are under trainer.*"),
    "streaming": absent("rows are read once, and their tokens are kept in cache_dir"),
    **dict.fromkeys(("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "use_kernels", "quantize_moe_experts",
                     "use_scattermoe", "use_sonicmoe", "experts_implementation", "fused_attn_kernel", "cut_cross_entropy",
                     "flash_attn_cross_entropy", "flash_attn_fuse_mlp", "flash_attn_rms_norm", "flex_attn_compile_kwargs",
                     "gemma4_hybrid_attn_impl", "torchdistx_path"), _KERNEL),
    **dict.fromkeys(("context_parallel_size", "sequence_parallel_degree"), sharding.sequence_parallel),
    "dp_replicate_size": sharding.replicas,
    "dp_shard_size": same("the weights are sharded over all ranks of a copy"),
    **dict.fromkeys(("tensor_parallel_size", "expert_parallel_size"), sharding.unless_one(_PARALLEL)),
    **dict.fromkeys(("gptq", "gptq_groupsize", "gptq_model_v1", "gptq_disable_exllama", "qat", "ebft", "diffusion", "relora",
                     "relora_prune_ratio", "relora_cpu_offload", "lisa_n_layers", "lisa_step_interval", "lisa_layers_attribute",
                     "jagged_restart_steps", "jagged_restart_warmup_steps", "jagged_restart_anneal_steps", "reinit_weights",
                     "lr_quadratic_warmup", "cosine_constant_lr_ratio", "process_reward_model", "model_quantization_config",
                     "model_quantization_config_kwargs", "llama4_linearized_experts", "experimental_skip_move_to_device",
                     "eval_table_size", "eval_max_new_tokens", "do_causal_lm_eval", "eval_causal_lm_metrics",
                     "batch_size", "vllm", "min_sample_len", "use_onebitllms", "use_eaft", "eaft_alpha", "eaft_k",
                     "cls_model_config", "base_model_ignore_patterns", "use_ray", "ray_num_workers", "use_otel_metrics",
                     "otel_metrics_host", "otel_metrics_port", "llmcompressor", "sample_packing_sequentially",
                     "curriculum_sampling", "nvfp4_merge_aware", "expert_parallel_num_nvl_bytes",
                     "expert_parallel_token_capacity", "fp8_enable_fsdp_float8_all_gather"), _OTHER),
    **dict.fromkeys(("use_dsv4_kernels", "dsv4_fp4_grouped_mode", "use_glm_dsa_kernels"), _KERNEL),
    **dict.fromkeys(("use_swanlab", "swanlab_project", "swanlab_experiment_name", "swanlab_description", "swanlab_mode",
                     "swanlab_log_completions", "swanlab_completion_log_interval", "swanlab_completion_max_buffer",
                     "swanlab_workspace", "swanlab_log_model"), _SWANLAB),
    "freeze_mm_modules": _VISION,
}  # fmt: skip
