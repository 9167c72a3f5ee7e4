"""The names that other tools give to settings, and the key of this launcher that does the same.

Sources: the argument classes and documentation of transformers, trl, peft, accelerate, DeepSpeed, axolotl, LLaMA-Factory,
torchtune, unsloth and torchrun; sbatch(1).
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_ON: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterpart:
    """What takes the place of another tool's setting here."""

    names: tuple[str, ...]
    """The other tools' names for it, with underscores. A dotted name is that of a key below a group."""
    key: str | None = None
    note: str = ""
    """What else is different, as the words after a comma."""
    values: Mapping[str, str] = field(default_factory=dict[str, str])
    """The other tools' values, lower case, and what `key` is set to for each; a value that is not here is the same."""

    @property
    def plugin(self) -> str | None:
        """The plugin that must be chosen for the key to exist; None for a key that every run has."""
        return self.key.split(".")[1] if self.key and self.key.startswith("plugins.") else None

    @property
    def typed(self) -> str:
        """The key as it is typed, without a value; for a plugin that has no further setting, its choice."""
        if self.plugin is None:
            return self.key or "nothing to set"
        choice = f"'plugin=[{self.plugin}]'"
        return choice if self.key == f"plugins.{self.plugin}" else f"{self.key} with {choice}"

    def answer(self, name: str) -> str:
        """One sentence for somebody who has typed `name`."""
        return f"{name}: here {self.typed}" + (f", {self.note}" if self.note else "")


def counterpart(name: str) -> Counterpart | None:
    """What another tool's setting is here, by its whole dotted name or else by its last part; None if it is not listed."""
    plain = name.lstrip("-+~").lower().replace("-", "_")
    return _by_name().get(plain) or _by_name().get(plain.rpartition(".")[2])


_SHORT = {
    "-p": "cluster.sbatch.partition", "-N": "resources.nodes", "-t": "resources.time", "-A": "cluster.sbatch.account",
    "-q": "cluster.sbatch.qos", "-G": "resources.gpus_per_node", "-n": "resources.gpus_per_node", "-J": "name",
    "-C": "cluster.sbatch.constraint", "-w": "cluster.sbatch.nodelist", "-x": "cluster.sbatch.exclude",
    "-M": "cluster.sbatch.clusters", "-d": "cluster.sbatch.dependency", "-L": "cluster.sbatch.licenses",
}  # fmt: skip
"""sbatch's short options. Source: sbatch(1)."""


def answer_option(word: str) -> str | None:
    """One sentence for an option such as `--lr=1e-4` that another tool has; None for another word."""
    if word[:2] in _SHORT and word[:2] != "--":
        return f"{word[:2]}: here {_SHORT[word[:2]]}; keys are written without -, as KEY=VALUE"
    name = word.split()[0].partition("=")[0] if word.startswith("--") else ""
    found = counterpart(name) if name else None
    return f"{found.answer(name)}; keys are written without --, as KEY=VALUE" if found else None


def counterparts() -> tuple[Counterpart, ...]:
    """All of them, in the order in which the reference page shows them."""
    return _COUNTERPARTS


@functools.cache
def _by_name() -> Mapping[str, Counterpart]:
    return {name: one for one in _COUNTERPARTS for name in one.names}


def _same(names: str, key: str | None, note: str = "", values: Mapping[str, str] = _ON) -> Counterpart:
    return Counterpart(names=tuple(names.split()), key=key, note=note, values=values)


# fmt: off
def _optimization() -> Iterator[Counterpart]:
    yield _same("lr learning_rate base_lr peak_lr max_lr optimizer.lr optimizer.params.lr", "trainer.learning_rate")
    yield _same("epochs num_epochs epoch n_epochs max_epochs num_train_epochs train_epochs", "trainer.num_train_epochs")
    yield _same("max_steps max_train_steps num_train_steps train_steps total_steps max_steps_per_epoch",
                "trainer.max_steps")
    yield _same("optim optimizer optimizer_type optimizer_name optimizer.type optimizer._component_", "trainer.optim")
    yield _same("lr_scheduler lr_scheduler_type scheduler lr_schedule scheduler.type", "trainer.lr_scheduler_type")
    yield _same("lr_scheduler_kwargs lr_scheduler_args scheduler_kwargs", "trainer.lr_scheduler_kwargs")
    yield _same("cosine_min_lr_ratio min_lr_ratio min_lr_rate",
                "trainer.lr_scheduler_kwargs.min_lr_rate", "with trainer.lr_scheduler_type=cosine_with_min_lr")
    yield _same("min_lr lr_end",
                "trainer.lr_scheduler_kwargs.min_lr", "with trainer.lr_scheduler_type=cosine_with_min_lr")
    yield _same("warmup_ratio warmup_fraction lr_warmup_ratio",
                "trainer.warmup_steps", "where a value below 1 is a share")
    yield _same("warmup num_warmup_steps lr_warmup_steps warmup_steps", "trainer.warmup_steps")
    yield _same("adam_beta1 beta1 optimizer.betas adam_betas betas", "trainer.adam_beta1", "and trainer.adam_beta2")
    yield _same("adam_beta2 beta2", "trainer.adam_beta2")
    yield _same("adam_epsilon adam_eps optimizer.eps eps", "trainer.adam_epsilon")
    yield _same("weight_decay wd optimizer.weight_decay", "trainer.weight_decay")
    yield _same("max_grad_norm clip_grad_norm grad_clip gradient_clipping gradient_clip_val max_norm clip_grad",
                "trainer.max_grad_norm")
    yield _same("loss loss_fn rl_loss pref_loss dpo_loss dpo_loss_type", "trainer.loss_type")
    yield _same("dpo_beta rl_beta kl_beta pref_beta kl_coef init_kl_coef orpo_alpha kto_beta", "trainer.beta")
    yield _same("teacher_model teacher_model_name_or_path teacher_name_or_path teacher_model_path", "trainer.teacher",
                "with trainer=distill")
    yield _same("teacher_model_revision", "trainer.teacher_revision")
    yield _same("kd_temperature", "trainer.temperature", "of trainer=distill")
    yield _same("kd_ce_alpha", "trainer.alpha", "of trainer=distill, where the divergence has the rest")
    yield _same("lmbda on_policy_share student_data_fraction", None,
                "a distillation learns on given rows, and not on the student's own answers")
    yield _same("pref_ftx rpo_alpha", None, "the term of supervised loss beside a preference loss is not supported")
    yield _same("dpo_label_smoothing label_smoothing_factor", "trainer.label_smoothing", "of trainer=dpo only")
    yield _same("kto_desirable_weight kto_chosen_weight", "trainer.desirable_weight")
    yield _same("kto_undesirable_weight kto_rejected_weight", "trainer.undesirable_weight")
    yield _same("sft dpo kto orpo grpo ppo rlhf", "trainer", "as trainer=sft, dpo, kto, orpo or grpo")
    yield _same("stage training_type rl finetuning_task task_type",
                "trainer", "as trainer=sft, dpo, kto, orpo, reward, grpo or pretrain",
                {"pt": "pretrain", "rm": "reward", "ppo": "grpo"})
    yield _same("num_samples_per_prompt group_size grpo_group_size n_samples_per_prompt", "trainer.num_generations")
    yield _same("max_new_tokens response_length max_generated_tokens", "trainer.max_completion_length")
    yield _same("reward_funcs reward_fns reward_model", "trainer.reward_functions")
    yield _same("ref_model reference_model ref_model_name_or_path", None,
                "dpo and kto compare with the model as it was before the training; a distillation has trainer.teacher")
    yield _same("lora_plus loraplus_lr_ratio layerwise_lr_decay embedding_learning_rate", None,
                "all weights have one learning rate")
    yield _same("lr_decay lr_decay_steps decay_steps", "trainer.lr_scheduler_type",
                "whose schedule ends with the last step; trainer.lr_scheduler_kwargs has its further values")
    yield _same("ema use_ema", None, "no moving average of the weights is kept")
    yield _same("early_stopping_patience early_stopping", "plugins.early_stopping.patience")
    yield _same("metric_for_best_model", "plugins.early_stopping.metric")
    yield _same("load_best_model_at_end", "plugins.early_stopping.restore_best")
    yield _same("neftune_noise_alpha noisy_embedding_alpha neft_alpha neftune", "plugins.neftune.noise_alpha")


def _batch() -> Iterator[Counterpart]:
    yield _same("per_device_train_batch_size per_gpu_train_batch_size micro_batch_size micro_batch_size_per_gpu "
                "micro_bsz mini_batch_size train_micro_batch_size_per_gpu per_device_batch_size batch_size_per_device",
                "batch.micro_batch_size")
    yield _same("per_device_eval_batch_size per_gpu_eval_batch_size eval_batch_size val_batch_size",
                "batch.eval_micro_batch_size")
    yield _same("batch_size train_batch_size effective_batch_size total_batch_size bs global_batch_size gbs",
                "batch.global_batch_size", "the sequences of one optimizer step on all ranks")
    yield _same("gradient_accumulation_steps grad_accum_steps grad_accum grad_accumulation grad_acc "
                "gradient_accumulate_steps gradient_accumulation accumulate_grad_batches ga_steps",
                "batch.global_batch_size",
                "from which the steps follow: global_batch_size / (micro_batch_size * ranks)")
    yield _same("auto_find_batch_size", "batch.micro_batch_size", "as batch.micro_batch_size=auto", {"true": "auto"})
    yield _same("max_seq_length max_seq_len cutoff_len sequence_len seq_length seq_len sequence_length "
                "max_len max_input_length n_ctx truncation_length model_max_length block_size "
                "tokenizer.max_seq_len context_length max_position_embeddings",
                "model.max_length")
    yield _same("rope_scaling rope_type rope_scaling_type rope_scaling.type rope_scaling.rope_type rope_parameters",
                "model.rope_scaling.rope_type", "with model.rope_scaling.factor, such as 4",
                {"yarn": "yarn", "linear": "linear", "dynamic": "dynamic", "llama3": "llama3"})
    yield _same("rope_factor rope_scaling_factor rope_scaling.factor", "model.rope_scaling.factor")
    yield _same("max_prompt_length max_prompt_len prompt_max_len max_source_length max_prompt_tokens", "model.max_length",
                "which prompt and answer share (grpo: prompts get model.max_length - trainer.max_completion_length); a row "
                "whose prompt leaves no room for an answer is left out and counted")
    yield _same("sample_packing multipack pack packed dataset.packed neat_packing use_packing pad_to_sequence_len",
                "trainer.packing")


def _data() -> Iterator[Counterpart]:
    yield _same("dataset dataset_name dataset_path dataset_mixer datasets train_file train_data data_path "
                "data_files training_data training_file train_path train "
                "train_dataset dataset.source",
                "data.path")
    yield _same("eval_dataset eval_file validation_file val_file valid_file test_file test_data eval_data "
                "eval_dataset_path val_path test_datasets valid_data val_data", "data.eval_path")
    yield _same("dataset_format dataset_type prompt_style data_type formatting", "data.format")
    yield _same("train_on_inputs train_on_input train_on_prompt train_on_source dataset.train_on_input "
                "completion_only_loss mask_prompt",
                "trainer.assistant_only_loss", "with the opposite sense", {"true": "false", "false": "true"})
    yield _same("dataset_text_field response_template instruction_template text_field text_column",
                None, "a row with the key `text` is plain text")
    yield _same("remove_unused_columns",
                None, "keys of a row that its format does not have are never passed to the model")
    yield _same("dataset_num_proc preprocessing_num_workers dataset_processes",
                None, "the ranks of a node share the tokenization")
    yield _same("overwrite_cache tokenized_path dataset_prepared_path cache_path",
                "cache_dir", "and tokens are made anew when the data change")
    yield _same("dataloader_num_workers num_workers dataloader_workers", "data.num_workers")
    yield _same("dataloader_prefetch_factor prefetch_factor", "data.prefetch_factor")
    yield _same("dataloader_pin_memory dataloader_persistent_workers dataloader_drop_last", None,
                "batches go to a GPU from pinned memory, and every step has a full batch")
    yield _same("group_by_length length_column_name", "trainer.packing", "which wastes no padding either")
    yield _same("val_set_size val_size val_split eval_split test_split_size valid_size test_size "
                "validation_split", "data.eval_fraction")
    yield _same("template conversation_template prompt_template chat_format", "model.chat_template")
    yield _same("checkpointer", "plugins.sharded_checkpoint")
    yield _same("fast_inference use_vllm", None, "answers are generated by the ranks")
    yield _same("wandb_entity", None, "WANDB_ENTITY in your shell is inherited by the run")
    yield _same("system_prompt default_system system_message", None,
                "a row has its own system turn: write it into the rows, under `system`")
    yield _same("shuffle shuffle_data shuffle_dataset", None, "rows are shuffled anew in every epoch, by `seed`")
    yield _same("streaming stream dataset_streaming", None, "rows are read once, and their tokens are kept in cache_dir")
    yield _same("data_seed shuffle_seed random_seed random_state", "seed")


def _model() -> Iterator[Counterpart]:
    yield _same("model_name_or_path base_model pretrained_model_name_or_path model_name model_id "
                "pretrained_model base base_model_name weights model_dir model_path "
                "checkpoint_dir hf_model",
                "model.name_or_path")
    yield _same("model_revision revision_of_model base_model_revision", "model.revision")
    yield _same("tokenizer tokenizer_name tokenizer_path tokenizer_config tokenizer_name_or_path",
                None, "the tokenizer is that of model.name_or_path")
    yield _same("attn_impl attention_implementation attn attention attn_type use_flash_attention_2 "
                "flash_attention flash_attn use_flash_attention fa2 use_flash_attn",
                "model.attn_implementation", "as model.attn_implementation=flash_attention_2",
                {"true": "flash_attention_2", "fa2": "flash_attention_2", "false": "sdpa"})
    yield _same("sdp_attention sdpa_attention",
                "model.attn_implementation", "as model.attn_implementation=sdpa", {"true": "sdpa"})
    yield _same("bf16 bfloat16 use_amp use_bf16 mixed_precision dtype torch_dtype model_dtype compute_dtype "
                "bf16.enabled amp",
                "trainer.precision", "as trainer.precision=bf16",
                {"true": "bf16", "bfloat16": "bf16", "float32": "fp32", "no": "fp32", "false": "fp32", "auto": "auto"})
    yield _same("fp16 float16 half fp16.enabled",
                "trainer.precision", "as bf16 or fp32: fp16 needs loss scaling and is not supported",
                {"true": "bf16", "false": "auto"})
    yield _same("attention_dropout hidden_dropout resid_pdrop embd_pdrop", None, "dropout is that of the model's config.json")
    yield _same("rope_theta", None, "it is that of the model's config.json; model.rope_scaling stretches its positions")
    yield _same("freeze_layers unfreeze_layers freeze_trainable_layers unfrozen_parameters num_layers_unfrozen", None,
                "all weights are trained, or an adapter with plugins.lora.layers_to_transform")
    yield _same("use_unsloth unsloth", "plugins.liger", "whose kernels are the nearest thing here")
    yield _same("tf32", None, "torch's own setting applies to what remains in fp32")
    yield _same("trust_remote_code_model allow_remote_code", "model.trust_remote_code")
    yield _same("liger use_liger use_liger_kernel enable_liger_kernel liger_kernel", "plugins.liger")
    yield _same("liger_rope", "plugins.liger.rope")
    yield _same("liger_rms_norm", "plugins.liger.rms_norm")
    yield _same("liger_glu_activation liger_swiglu", "plugins.liger.glu")
    yield _same("gradient_checkpointing activation_checkpointing enable_activation_checkpointing "
                "use_gradient_checkpointing grad_checkpoint grad_checkpointing recompute disable_gradient_checkpointing",
                "plugins.gradient_checkpointing")
    yield _same("gradient_checkpointing_kwargs gradient_checkpointing_kwargs.use_reentrant use_reentrant_gc",
                "plugins.gradient_checkpointing.use_reentrant")
    yield _same("compile torch_compile use_compile dynamo_backend", "trainer.torch_compile")
    yield _same("enable_activation_offloading activation_cpu_offload", "trainer.activation_offloading")


def _adapters() -> Iterator[Counterpart]:
    yield _same("use_peft use_lora adapter finetuning_type lora peft peft_type lora_config peft_config",
                "plugins.lora", "or 'plugin=[qlora]' over 4-bit weights; all weights are trained without either")
    yield _same("lora_r lora_rank adapter_rank rank lora.rank peft.r", "plugins.lora.r")
    yield _same("lora_alpha lora.alpha peft.lora_alpha", "plugins.lora.alpha")
    yield _same("lora_dropout lora.dropout peft.lora_dropout", "plugins.lora.dropout")
    yield _same("lora_target lora_target_modules lora_target_linear lora_attn_modules lora_modules target_modules",
                "plugins.lora.target_modules", "", {"all": "all-linear", "true": "all-linear"})
    yield _same("lora_modules_to_save additional_target modules_to_save", "plugins.lora.modules_to_save")
    yield _same("use_rslora peft_use_rslora rslora", "plugins.lora.use_rslora")
    yield _same("use_dora peft_use_dora dora", "plugins.lora.use_dora")
    yield _same("lora_bias", "plugins.lora.bias")
    yield _same("peft_layers_to_transform layers_to_transform", "plugins.lora.layers_to_transform")
    yield _same("load_in_4bit use_qlora load_4bit quantize bits nf4 int4 qlora quantization_bit "
                "quantization use_4bit bnb_4bit",
                "plugins.qlora", "instead of lora")
    yield _same("bnb_4bit_quant_type quantization_type quant_type", "plugins.qlora.quant_type")
    yield _same("bnb_4bit_use_double_quant use_bnb_nested_quant double_quantization use_nested_quant use_double_quant",
                "plugins.qlora.double_quant")
    yield _same("bnb_4bit_compute_dtype", "plugins.qlora.compute_dtype")
    yield _same("bnb_4bit_quant_storage", "plugins.qlora.storage_dtype")


def _saving() -> Iterator[Counterpart]:
    yield _same("save_steps checkpointing_steps save_every save_interval ckpt_interval checkpoint_interval "
                "checkpoint_steps save_freq checkpoint_every save_strategy "
                "saves_per_epoch save_every_n_steps",
                "plugins.sharded_checkpoint.save_steps")
    yield _same("merge_lora save_merged merge_and_unload export_merged merge_adapter", None,
                "`launcher export RUN --merged` writes the merged model after the training")
    yield _same("save_total_limit max_checkpoints keep_last_n_checkpoints num_checkpoints_to_keep",
                "plugins.sharded_checkpoint.keep_last")
    yield _same("keep_best_n_checkpoints save_top_k", "plugins.sharded_checkpoint.keep_best")
    yield _same("save_on_each_node save_safetensors",
                None, "checkpoints are shards in the run dir, and the result is safetensors")
    yield _same("save_only_model save_model_only save_weights_only", "plugins.sharded_checkpoint.weights_only")
    yield _same("enable_async_checkpointing async_save", "plugins.sharded_checkpoint.asynchronous")
    yield _same("evaluation_strategy eval_strategy do_eval eval_freq evals_per_epoch eval_interval_steps "
                "val_check_interval eval_every "
                "eval_interval run_val_every_n_steps val_steps",
                "trainer.eval_steps")
    yield _same("checkpoint ckpt resume_from_checkpoint resume_from auto_resume auto_resume_from_checkpoints ckpt_path",
                "resume", "whose default `auto` takes the newest checkpoint of the run",
                {"true": "auto", "false": "never"})
    yield _same("logging_strategy log_every_n_steps log_every log_interval log_freq logging_interval "
                "print_every log_steps", "trainer.logging_steps")
    yield _same("report_to logger log_with wandb use_wandb wandb_enabled tensorboard use_tensorboard "
                "metric_logger reporter with_tracking",
                "tracker", "as tracker=wandb, tensorboard or mlflow")
    yield _same("wandb_project project_name wandb.project mlflow_experiment_name metric_logger.project "
                "trackio_space_id",
                "tracker.project")
    yield _same("run_name wandb_name wandb_run_name job_name experiment_name wandb_run_id exp_name", "name")
    yield _same("output_dir out_dir out output save_dir default_root_dir logging_dir output_path",
                "runs_dir", "with a folder per run below it")
    yield _same("overwrite_output_dir", None, "every launch makes a run dir of its own")
    yield _same("do_train do_predict predict_with_generate",
                None, "a launch trains; `launcher evaluate` and `launcher chat` follow it")
    yield _same("debug verbose quiet disable_tqdm plot_loss log_level",
                None, "logs/ has the ranks' output and report.html the curves")
    yield _same("push_to_hub hub_model_id push_to_hub_model_id hub_repo_id", "hub.push", "as hub.push=OWNER/NAME")
    yield _same("hub_private_repo", "hub.private")
    yield _same("hub_token hf_token wandb_token wandb_api_key",
                None, "secrets are inherited from the environment (HF_TOKEN, WANDB_API_KEY) and written nowhere")


def _placing() -> Iterator[Counterpart]:
    yield _same("num_gpus n_gpus gpus ngpus gpu world_size nproc_per_node n_gpu gpus_per_host devices "
                "ntasks_per_node tasks_per_node "
                "num_processes nproc num_devices trainer.devices",
                "resources.gpus_per_node", "the ranks of one node")
    yield _same("num_nodes nnodes num_machines n_nodes num_hosts", "resources.nodes")
    yield _same("ddp_timeout nccl_timeout dist_timeout timeout_seconds", "resources.ddp_timeout_s")
    yield _same("time_limit walltime timeout_min max_time", "resources.time")
    yield _same("use_cpu no_cuda cpu_only",
                "resources.device", "as resources.device=cpu", {"true": "cpu", "false": "auto"})
    yield _same("cpus_per_task cpus_per_gpu num_cpus cpus", "resources.cpus_per_gpu")
    yield _same("mem mem_gb memory mem_per_node", "resources.memory_gib")
    yield _same("partition slurm_partition queue", "cluster.sbatch.partition")
    yield _same("account slurm_account", "cluster.sbatch.account")
    yield _same("qos slurm_qos", "cluster.sbatch.qos")
    yield _same("constraint slurm_constraint", "cluster.sbatch.constraint")
    yield _same("slurm_output slurm_log", "cluster.sbatch.output")
    yield _same("slurm_error", "cluster.sbatch.error")
    yield _same("reservation", "cluster.sbatch.reservation")
    yield _same("nodelist", "cluster.sbatch.nodelist")
    yield _same("exclude exclude_nodes", "cluster.sbatch.exclude")
    yield _same("mail_user", "cluster.sbatch.mail-user")
    yield _same("mail_type", "cluster.sbatch.mail-type")
    yield _same("gres gpus_per_task",
                "cluster.gpu_request", "as cluster.gpu_request=gres, with resources.gpus_per_node for the number")
    yield _same("container container_image image docker_image", "cluster.container.image")
    yield _same("env_vars environment environment_variables", "cluster.env")
    yield _same("master_addr master_port main_process_ip main_process_port rdzv_backend rdzv_endpoint rdzv_id "
                "node_rank machine_rank local_rank rank_of_node hostfile",
                None, "the launcher chooses hosts, ports and ranks in the job")
    yield _same("max_restarts",
                None, "a failed attempt is restarted as long as checkpoints advance (docs/guide/survival.md)")


def _sharding() -> Iterator[Counterpart]:
    yield _same("deepspeed deepspeed_config ds_config zero deepspeed_config_file use_deepspeed zero3_init_flag",
                "strategy", "as strategy=zero1, zero2, zero3 or zero3_offload; deepspeed.json is written from it")
    yield _same("zero_stage zero_optimization.stage strategy.stage deepspeed.stage deepspeed_stage zero_optimization",
                "strategy.zero_stage", "which strategy=zero1, zero2 or zero3 sets with its engine")
    yield _same("fsdp use_fsdp fsdp_config fsdp_version sharding fsdp_sharding_strategy fsdp_auto_wrap_policy "
                "fsdp_state_dict_type fsdp_reshard_after_forward distributed_type distributed_backend",
                "strategy", "as strategy=fsdp2, ddp or zero1 to zero3")
    yield _same("offload_optimizer_device cpu_offload_optimizer zero_optimization.offload_optimizer "
                "zero_optimization.offload_optimizer.device",
                "strategy.offload_optimizer", "", {"cpu": "true", "none": "false"})
    yield _same("offload_param_device fsdp_offload_params fsdp_cpu_offload cpu_offload offload_params "
                "zero_optimization.offload_param zero_optimization.offload_param.device",
                "strategy.offload_param", "", {"cpu": "true", "none": "false"})
    yield _same("cpu_ram_efficient_loading fsdp_cpu_ram_efficient_loading fsdp_config.cpu_ram_efficient_loading "
                "fsdp_config.fsdp_cpu_ram_efficient_loading low_cpu_mem_usage low_cpu_fsdp fsdp_low_cpu",
                "strategy.cpu_ram_efficient_loading", "which FSDP2 does by default")
    yield _same("fsdp_sync_module_states sync_module_states",
                None, "rank 0 sends the weights wherever one rank loads them")
    yield _same("ddp_find_unused_parameters ddp_broadcast_buffers find_unused_parameters",
                None, "every trained weight has a gradient, and buffers are equal on every rank")
    yield _same("dp_replicate_size data_parallel_replicate_degree dp_replicate_degree dp_replicate hsdp hybrid_shard "
                "replicate_size num_replicas fsdp_config.dp_replicate_size parallelism_config.dp_replicate_size",
                "strategy.dp_replicate_size", "the number of copies of the sharded state, with strategy=fsdp2")
    yield _same("dp_shard_size data_parallel_shard_degree dp_shard_degree dp_shard parallelism_config.dp_shard_size",
                "strategy.dp_replicate_size", "as the number of ranks divided by it")
    yield _same("zero_hpz_partition_size zero_optimization.zero_hpz_partition_size hpz hpz_partition_size",
                "strategy.hpz_size", "with strategy=zero3")
    yield _same("reduce_bucket_size allgather_bucket_size stage3_prefetch_bucket_size stage3_max_live_parameters",
                "strategy.deepspeed", "as strategy.deepspeed.zero_optimization.NAME if the planned size is not wanted")
    yield _same("overlap_comm zero_optimization.overlap_comm", "strategy.overlap_comm")
    yield _same("ddp dp data_parallel zero1 zero2 zero3", "strategy", "as strategy=ddp, zero1, zero2, zero3 or fsdp2")
    yield _same("config config_file yaml config_path", None, "a file of your own is given as --config FILE")
    yield _same("training_args training_arguments sft_config extra_args",
                "trainer.args", "for fields without a key of their own")
    yield _same("tensor_parallel_size tp_size tensor_parallel_dim tensor_parallelism pipeline_parallel_size pp_size "
                "pipeline_parallelism expert_parallel_size ep_size tensor_parallel tp pp",
                None, "ranks share sequences, not layers, matrices or experts; use strategy=zero3 or fsdp2, or "
                "strategy.sequence_parallel_size")
    yield _same("context_parallel_size cp_size cp context_parallel sequence_parallel_degree "
                "sequence_parallel_size sp_size ulysses_size ulysses_sequence_parallel_size",
                "strategy.sequence_parallel_size")


_COUNTERPARTS: tuple[Counterpart, ...] = (
    *_optimization(), *_batch(), *_data(), *_model(), *_adapters(), *_saving(), *_placing(), *_sharding(),
)
# fmt: on
