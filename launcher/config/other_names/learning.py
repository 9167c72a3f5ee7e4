"""Other tools' names for how a model learns: optimizer, losses, methods and batches."""

from collections.abc import Iterator

from launcher.config.other_names.counterpart import Counterpart, same


# fmt: off
def optimization() -> Iterator[Counterpart]:
    yield same("lr learning_rate base_lr peak_lr max_lr optimizer.lr optimizer.params.lr", "trainer.learning_rate")
    yield same("epochs num_epochs epoch n_epochs max_epochs num_train_epochs train_epochs", "trainer.num_train_epochs")
    yield same("max_steps max_train_steps num_train_steps train_steps total_steps max_steps_per_epoch",
                "trainer.max_steps")
    yield same("optim optimizer optimizer_type optimizer_name optimizer.type optimizer._component_", "trainer.optim")
    yield same("lr_scheduler lr_scheduler_type scheduler lr_schedule scheduler.type", "trainer.lr_scheduler_type")
    yield same("lr_scheduler_kwargs lr_scheduler_args scheduler_kwargs", "trainer.lr_scheduler_kwargs")
    yield same("cosine_min_lr_ratio min_lr_ratio min_lr_rate",
                "trainer.lr_scheduler_kwargs.min_lr_rate", "with trainer.lr_scheduler_type=cosine_with_min_lr")
    yield same("min_lr lr_end",
                "trainer.lr_scheduler_kwargs.min_lr", "with trainer.lr_scheduler_type=cosine_with_min_lr")
    yield same("warmup_ratio warmup_fraction lr_warmup_ratio",
                "trainer.warmup_steps", "where a value below 1 is a share")
    yield same("warmup num_warmup_steps lr_warmup_steps warmup_steps", "trainer.warmup_steps")
    yield same("adam_beta1 beta1 optimizer.betas adam_betas betas", "trainer.adam_beta1", "and trainer.adam_beta2")
    yield same("adam_beta2 beta2", "trainer.adam_beta2")
    yield same("adam_epsilon adam_eps optimizer.eps eps", "trainer.adam_epsilon")
    yield same("weight_decay wd optimizer.weight_decay", "trainer.weight_decay")
    yield same("max_grad_norm clip_grad_norm grad_clip gradient_clipping gradient_clip_val max_norm clip_grad",
                "trainer.max_grad_norm")
    yield same("loss loss_fn rl_loss pref_loss dpo_loss dpo_loss_type", "trainer.loss_type")
    yield same("dpo_beta rl_beta kl_beta pref_beta kl_coef init_kl_coef orpo_alpha kto_beta", "trainer.beta")
    yield same("teacher_model teacher_model_name_or_path teacher_name_or_path teacher_model_path", "trainer.teacher",
                "with trainer=distill")
    yield same("teacher_model_revision", "trainer.teacher_revision")
    yield same("kd_temperature", "trainer.temperature", "of trainer=distill")
    yield same("kd_ce_alpha", "trainer.alpha", "of trainer=distill, where the divergence has the rest")
    yield same("lmbda on_policy_share student_data_fraction", None,
                "a distillation learns on given rows, and not on the student's own answers")
    yield same("pref_ftx rpo_alpha", None, "a supervised loss in addition to a preference loss is not supported")
    yield same("dpo_label_smoothing label_smoothing_factor", "trainer.label_smoothing", "of trainer=dpo only")
    yield same("kto_desirable_weight kto_chosen_weight", "trainer.desirable_weight")
    yield same("kto_undesirable_weight kto_rejected_weight", "trainer.undesirable_weight")
    yield same("sft dpo kto orpo grpo ppo rlhf", "trainer", "as trainer=sft, dpo, kto, orpo or grpo")
    yield same("stage training_type rl finetuning_task task_type",
                "trainer", "as trainer=sft, dpo, kto, orpo, reward, grpo or pretrain",
                {"pt": "pretrain", "rm": "reward", "ppo": "grpo"})
    yield same("num_samples_per_prompt group_size grpo_group_size n_samples_per_prompt", "trainer.num_generations")
    yield same("max_new_tokens response_length max_generated_tokens", "trainer.max_completion_length")
    yield same("reward_funcs reward_fns reward_model", "trainer.reward_functions")
    yield same("ref_model reference_model ref_model_name_or_path", None,
                "dpo and kto compare with the model as it was before the training; a distillation has trainer.teacher")
    yield same("lora_plus loraplus_lr_ratio layerwise_lr_decay embedding_learning_rate", None,
                "all weights have one learning rate")
    yield same("lr_decay lr_decay_steps decay_steps", "trainer.lr_scheduler_type",
                "whose schedule ends with the last step; trainer.lr_scheduler_kwargs has its further values")
    yield same("ema use_ema", None, "no moving average of the weights is kept")
    yield same("early_stopping_patience early_stopping", "plugins.early_stopping.patience")
    yield same("metric_for_best_model", "plugins.early_stopping.metric")
    yield same("load_best_model_at_end", "plugins.early_stopping.restore_best")
    yield same("neftune_noise_alpha noisy_embedding_alpha neft_alpha neftune", "plugins.neftune.noise_alpha")


def batch() -> Iterator[Counterpart]:
    yield same("per_device_train_batch_size per_gpu_train_batch_size micro_batch_size micro_batch_size_per_gpu "
                "micro_bsz mini_batch_size train_micro_batch_size_per_gpu per_device_batch_size batch_size_per_device",
                "batch.micro_batch_size")
    yield same("per_device_eval_batch_size per_gpu_eval_batch_size eval_batch_size val_batch_size",
                "batch.eval_micro_batch_size")
    yield same("batch_size train_batch_size effective_batch_size total_batch_size bs global_batch_size gbs",
                "batch.global_batch_size", "the sequences of one optimizer step on all ranks")
    yield same("gradient_accumulation_steps grad_accum_steps grad_accum grad_accumulation grad_acc "
                "gradient_accumulate_steps gradient_accumulation accumulate_grad_batches ga_steps",
                "batch.global_batch_size",
                "from which the steps follow: global_batch_size / (micro_batch_size * ranks)")
    yield same("auto_find_batch_size", "batch.micro_batch_size", "as batch.micro_batch_size=auto", {"true": "auto"})
    yield same("max_seq_length max_seq_len cutoff_len sequence_len seq_length seq_len sequence_length "
                "max_len max_input_length n_ctx truncation_length model_max_length block_size "
                "tokenizer.max_seq_len context_length max_position_embeddings",
                "model.max_length")
    yield same("rope_scaling rope_type rope_scaling_type rope_scaling.type rope_scaling.rope_type rope_parameters",
                "model.rope_scaling.rope_type", "with model.rope_scaling.factor, such as 4",
                {"yarn": "yarn", "linear": "linear", "dynamic": "dynamic", "llama3": "llama3"})
    yield same("rope_factor rope_scaling_factor rope_scaling.factor", "model.rope_scaling.factor")
    yield same("max_prompt_length max_prompt_len prompt_max_len max_source_length max_prompt_tokens", "model.max_length",
                "which prompt and answer share (grpo: prompts get model.max_length - trainer.max_completion_length); a row "
                "whose prompt leaves no room for an answer is left out and counted")
    yield same("sample_packing multipack pack packed dataset.packed neat_packing use_packing pad_to_sequence_len",
                "trainer.packing")
# fmt: on
