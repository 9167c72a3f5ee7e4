"""Other tools' names for how a run is carried out: what it saves, where it runs, how it is sharded."""

from collections.abc import Iterator

from launcher.config.other_names.counterpart import Counterpart, same


# fmt: off
def saving() -> Iterator[Counterpart]:
    yield same("save_steps checkpointing_steps save_every save_interval ckpt_interval checkpoint_interval "
                "checkpoint_steps save_freq checkpoint_every save_strategy "
                "saves_per_epoch save_every_n_steps",
                "plugins.sharded_checkpoint.save_steps")
    yield same("merge_lora save_merged merge_and_unload export_merged merge_adapter", None,
                "`launcher export RUN --merged` writes the merged model after the training")
    yield same("save_total_limit max_checkpoints keep_last_n_checkpoints num_checkpoints_to_keep",
                "plugins.sharded_checkpoint.keep_last")
    yield same("keep_best_n_checkpoints save_top_k", "plugins.sharded_checkpoint.keep_best")
    yield same("save_on_each_node save_safetensors",
                None, "checkpoints are shards in the run dir, and the result is safetensors")
    yield same("save_only_model save_model_only save_weights_only", "plugins.sharded_checkpoint.weights_only")
    yield same("enable_async_checkpointing async_save", "plugins.sharded_checkpoint.asynchronous")
    yield same("evaluation_strategy eval_strategy do_eval eval_freq evals_per_epoch eval_interval_steps "
                "val_check_interval eval_every "
                "eval_interval run_val_every_n_steps val_steps",
                "trainer.eval_steps")
    yield same("checkpoint ckpt resume_from_checkpoint resume_from auto_resume auto_resume_from_checkpoints ckpt_path",
                "resume", "whose default `auto` takes the newest checkpoint of the run",
                {"true": "auto", "false": "never"})
    yield same("logging_strategy log_every_n_steps log_every log_interval log_freq logging_interval "
                "print_every log_steps", "trainer.logging_steps")
    yield same("report_to logger log_with wandb use_wandb wandb_enabled tensorboard use_tensorboard "
                "metric_logger reporter with_tracking",
                "tracker", "as tracker=wandb, tensorboard or mlflow")
    yield same("wandb_project project_name wandb.project mlflow_experiment_name metric_logger.project "
                "trackio_space_id",
                "tracker.project")
    yield same("run_name wandb_name wandb_run_name job_name experiment_name wandb_run_id exp_name", "name")
    yield same("output_dir out_dir out output save_dir default_root_dir logging_dir output_path",
                "runs_dir", "with a folder per run below it")
    yield same("overwrite_output_dir", None, "every launch makes a run dir of its own")
    yield same("do_train do_predict predict_with_generate",
                None, "a launch trains; `launcher evaluate` and `launcher chat` follow it")
    yield same("debug verbose quiet disable_tqdm plot_loss log_level",
                None, "logs/ has the ranks' output and report.html the curves")
    yield same("push_to_hub hub_model_id push_to_hub_model_id hub_repo_id", "hub.push", "as hub.push=OWNER/NAME")
    yield same("hub_private_repo", "hub.private")
    yield same("hub_token hf_token wandb_token wandb_api_key",
                None, "secrets are inherited from the environment (HF_TOKEN, WANDB_API_KEY) and written nowhere")


def placing() -> Iterator[Counterpart]:
    yield same("num_gpus n_gpus gpus ngpus gpu world_size nproc_per_node n_gpu gpus_per_host devices "
                "ntasks_per_node tasks_per_node "
                "num_processes nproc num_devices trainer.devices",
                "resources.gpus_per_node", "the ranks of one node")
    yield same("num_nodes nnodes num_machines n_nodes num_hosts", "resources.nodes")
    yield same("ddp_timeout nccl_timeout dist_timeout timeout_seconds", "resources.ddp_timeout_s")
    yield same("time_limit walltime timeout_min max_time", "resources.time")
    yield same("use_cpu no_cuda cpu_only",
                "resources.device", "as resources.device=cpu", {"true": "cpu", "false": "auto"})
    yield same("cpus_per_task cpus_per_gpu num_cpus cpus", "resources.cpus_per_gpu")
    yield same("mem mem_gb memory mem_per_node", "resources.memory_gib")
    yield same("partition slurm_partition queue", "cluster.sbatch.partition")
    yield same("account slurm_account", "cluster.sbatch.account")
    yield same("qos slurm_qos", "cluster.sbatch.qos")
    yield same("constraint slurm_constraint", "cluster.sbatch.constraint")
    yield same("slurm_output slurm_log", "cluster.sbatch.output")
    yield same("slurm_error", "cluster.sbatch.error")
    yield same("reservation", "cluster.sbatch.reservation")
    yield same("nodelist", "cluster.sbatch.nodelist")
    yield same("exclude exclude_nodes", "cluster.sbatch.exclude")
    yield same("mail_user", "cluster.sbatch.mail-user")
    yield same("mail_type", "cluster.sbatch.mail-type")
    yield same("gres gpus_per_task",
                "cluster.gpu_request", "as cluster.gpu_request=gres, with resources.gpus_per_node for the number")
    yield same("container container_image image docker_image", "cluster.container.image")
    yield same("env_vars environment environment_variables", "cluster.env")
    yield same("master_addr master_port main_process_ip main_process_port rdzv_backend rdzv_endpoint rdzv_id "
                "node_rank machine_rank local_rank rank_of_node hostfile",
                None, "the launcher chooses hosts, ports and ranks in the job")
    yield same("max_restarts",
                None, "a failed attempt is restarted as long as checkpoints advance (docs/guide/survival.md)")


def sharding() -> Iterator[Counterpart]:
    yield same("deepspeed deepspeed_config ds_config zero deepspeed_config_file use_deepspeed zero3_init_flag",
                "strategy", "as strategy=zero1, zero2, zero3 or zero3_offload; deepspeed.json is written from it")
    yield same("zero_stage zero_optimization.stage strategy.stage deepspeed.stage deepspeed_stage zero_optimization",
                "strategy.zero_stage", "which strategy=zero1, zero2 or zero3 sets with its engine")
    yield same("fsdp use_fsdp fsdp_config fsdp_version sharding fsdp_sharding_strategy fsdp_auto_wrap_policy "
                "fsdp_state_dict_type fsdp_reshard_after_forward distributed_type distributed_backend",
                "strategy", "as strategy=fsdp2, ddp or zero1 to zero3")
    yield same("offload_optimizer_device cpu_offload_optimizer zero_optimization.offload_optimizer "
                "zero_optimization.offload_optimizer.device",
                "strategy.offload_optimizer", "", {"cpu": "true", "none": "false"})
    yield same("offload_param_device fsdp_offload_params fsdp_cpu_offload cpu_offload offload_params "
                "zero_optimization.offload_param zero_optimization.offload_param.device",
                "strategy.offload_param", "", {"cpu": "true", "none": "false"})
    yield same("cpu_ram_efficient_loading fsdp_cpu_ram_efficient_loading fsdp_config.cpu_ram_efficient_loading "
                "fsdp_config.fsdp_cpu_ram_efficient_loading low_cpu_mem_usage low_cpu_fsdp fsdp_low_cpu",
                "strategy.cpu_ram_efficient_loading", "which FSDP2 does by default")
    yield same("fsdp_sync_module_states sync_module_states",
                None, "rank 0 sends the weights wherever one rank loads them")
    yield same("ddp_find_unused_parameters ddp_broadcast_buffers find_unused_parameters",
                None, "every trained weight has a gradient, and buffers are equal on every rank")
    yield same("dp_replicate_size data_parallel_replicate_degree dp_replicate_degree dp_replicate hsdp hybrid_shard "
                "replicate_size num_replicas fsdp_config.dp_replicate_size parallelism_config.dp_replicate_size",
                "strategy.dp_replicate_size", "the number of copies of the sharded state, with strategy=fsdp2")
    yield same("dp_shard_size data_parallel_shard_degree dp_shard_degree dp_shard parallelism_config.dp_shard_size",
                "strategy.dp_replicate_size", "as the number of ranks divided by it")
    yield same("zero_hpz_partition_size zero_optimization.zero_hpz_partition_size hpz hpz_partition_size",
                "strategy.hpz_size", "with strategy=zero3")
    yield same("reduce_bucket_size allgather_bucket_size stage3_prefetch_bucket_size stage3_max_live_parameters",
                "strategy.deepspeed", "as strategy.deepspeed.zero_optimization.NAME if the planned size is not wanted")
    yield same("overlap_comm zero_optimization.overlap_comm", "strategy.overlap_comm")
    yield same("ddp dp data_parallel zero1 zero2 zero3", "strategy", "as strategy=ddp, zero1, zero2, zero3 or fsdp2")
    yield same("config config_file yaml config_path", None, "a file of your own is given as --config FILE")
    yield same("training_args training_arguments sft_config extra_args",
                "trainer.args", "for fields without a key of their own")
    yield same("tensor_parallel_size tp_size tensor_parallel_dim tensor_parallelism pipeline_parallel_size pp_size "
                "pipeline_parallelism expert_parallel_size ep_size tensor_parallel tp pp",
                None, "ranks share sequences, not layers, matrices or experts; use strategy=zero3 or fsdp2, or "
                "strategy.sequence_parallel_size")
    yield same("context_parallel_size cp_size cp context_parallel sequence_parallel_degree "
                "sequence_parallel_size sp_size ulysses_size ulysses_sequence_parallel_size",
                "strategy.sequence_parallel_size")
# fmt: on
