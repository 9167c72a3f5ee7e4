"""The trainer's keyword arguments, the check of the hyperparameters, and the warning for a run that is too short."""

from typing import Any

from launcher.config import Config, has_evaluation
from launcher.errors import PlanError
from launcher.methods.registry import check_keys, find_method
from launcher.plan.generation import Generation
from launcher.plan.length import RULE, is_every
from launcher.plan.names import check_names
from launcher.plan.topology import Batch
from launcher.trackers.registry import TRACKERS

_FEW_STEPS = 10


def check_trainer(config: Config) -> None:
    """PlanError for a hyperparameter that is out of its range or that the method does not use."""
    trainer = config.trainer
    check_names(trainer)
    if not 0 < trainer.learning_rate < float("inf"):
        raise PlanError(f"trainer.learning_rate={trainer.learning_rate} must be a number above 0")
    if trainer.max_steps == 0 or trainer.max_steps < -1:
        raise PlanError(
            f"trainer.max_steps={trainer.max_steps} must be above 0, or -1 to train num_train_epochs"
        )
    if not 0 < trainer.num_train_epochs < float("inf"):
        raise PlanError(f"trainer.num_train_epochs={trainer.num_train_epochs} must be a number above 0")
    spike = trainer.loss_spike
    if spike is not None and not spike > 1:
        raise PlanError(f"trainer.loss_spike={spike} must be above 1, or null for no limit")
    for key in ("warmup_steps", "weight_decay", "max_grad_norm"):
        value = getattr(trainer, key)
        if not 0 <= value < float("inf"):
            raise PlanError(f"trainer.{key}={value} must be a number of at least 0")
    for key in ("adam_beta1", "adam_beta2"):
        if not 0 <= getattr(trainer, key) < 1:
            raise PlanError(f"trainer.{key}={getattr(trainer, key)} must be at least 0 and below 1")
    if not 0 < trainer.adam_epsilon < float("inf"):
        raise PlanError(f"trainer.adam_epsilon={trainer.adam_epsilon} must be a number above 0")
    if trainer.mlp_tile_tokens is not None and trainer.mlp_tile_tokens < 1:
        raise PlanError(
            f"trainer.mlp_tile_tokens={trainer.mlp_tile_tokens} must be at least 1, or null for no tiles"
        )
    if trainer.logging_steps < 1:
        raise PlanError(f"trainer.logging_steps={trainer.logging_steps} must be at least 1")
    if trainer.eval_steps is not None and not is_every(trainer.eval_steps):
        raise PlanError(f"trainer.eval_steps={trainer.eval_steps} must be {RULE}")
    _check_loading(config)
    if trainer.eval_steps is not None and not has_evaluation(config.data):
        raise PlanError(
            f"trainer.eval_steps={trainer.eval_steps} needs data.eval_path or data.eval_fraction; set one, or "
            "trainer.eval_steps=null"
        )
    check_keys(config)


def _check_loading(config: Config) -> None:
    size, data, timeout = config.batch.eval_micro_batch_size, config.data, config.resources.ddp_timeout_s
    if size is not None and size < 1:
        raise PlanError(
            f"batch.eval_micro_batch_size={size} must be at least 1, or null for that of training"
        )
    if data.num_workers < 0:
        raise PlanError(f"data.num_workers={data.num_workers} must be at least 0")
    if data.prefetch_factor is not None and (data.prefetch_factor < 1 or not data.num_workers):
        raise PlanError(
            f"data.prefetch_factor={data.prefetch_factor} must be at least 1, with data.num_workers above 0"
        )
    if timeout < 1:
        raise PlanError(f"resources.ddp_timeout_s={timeout} must be at least 1 second")


def few_steps(total: int | None, *, packs: bool = True) -> str | None:
    """A warning if a whole run has too few optimizer steps to learn; None if it has enough or their number is not known.

    `packs`: whether rows are packed, or it is not known.
    """
    if total is None or total >= _FEW_STEPS:
        return None
    return (
        f"few steps: the whole run takes {total} optimizer step{'' if total == 1 else 's'}, fewer than {_FEW_STEPS}; a smaller "
        f"batch.global_batch_size, more trainer.num_train_epochs{' or trainer.packing=false' if packs else ''} gives more"
    )


def trainer_args(
    config: Config, batch: Batch, mixed: str, cuda: bool, generation: Generation | None = None
) -> dict[str, Any]:
    """Keyword arguments of trl's class for the method; those of the strategy, the output dir and the files are added later."""
    trainer = config.trainer
    evaluates = has_evaluation(config.data)
    args: dict[str, Any] = {
        "per_device_train_batch_size": batch.micro_batch_size,
        "per_device_eval_batch_size": config.batch.eval_micro_batch_size or batch.micro_batch_size,
        "gradient_accumulation_steps": batch.gradient_accumulation_steps,
        "learning_rate": trainer.learning_rate,
        "num_train_epochs": trainer.num_train_epochs,
        "max_steps": trainer.max_steps,
        "lr_scheduler_type": trainer.lr_scheduler_type,
        "warmup_steps": trainer.warmup_steps,
        "weight_decay": trainer.weight_decay,
        "max_grad_norm": trainer.max_grad_norm,
        "optim": trainer.optim,
        "logging_steps": trainer.logging_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # it would log another step's loss instead of NaN or infinity
        "eval_strategy": "steps" if trainer.eval_steps else "no",
        "eval_on_start": evaluates,
        "save_strategy": "no",
        "ignore_data_skip": True,  # the launcher's own sampler starts a resumed run at the right row
        **find_method(trainer.kind).trainer_arguments(config, batch.gradient_accumulation_steps),
        **(_generates(generation) if generation else {}),
        "bf16": mixed == "bf16",
        "use_cpu": not cuda,
        "activation_checkpointing": False,
        "seed": config.seed,
        "data_seed": config.seed,
        "ddp_find_unused_parameters": False,
        "ddp_broadcast_buffers": False,  # they are constants, equal on every rank
        "disable_tqdm": True,
        "report_to": TRACKERS.find(config.tracker.kind).report_to or "none",
    }
    args |= _changed(config)
    if trainer.lr_scheduler_kwargs:
        args["lr_scheduler_kwargs"] = dict(trainer.lr_scheduler_kwargs)
    for name in ("torch_compile", "activation_offloading"):
        if getattr(trainer, name):
            args[name] = True
    if not config.trainer.args:
        return args
    from launcher.plan.passed_on import (
        passed_on,
    )  # imported here: it knows every field of transformers' arguments

    return args | passed_on(config)


def _generates(generation: Generation) -> dict[str, Any]:
    """trl's arguments for answers that vLLM generates. The address of a server is known once it runs."""
    own = {} if generation.is_server else {
        "vllm_gpu_memory_utilization": generation.gpu_memory_utilization,
        "vllm_tensor_parallel_size": generation.tensor_parallel_size,
    }  # fmt: skip
    return {"use_vllm": True, "vllm_mode": generation.mode, **own}


def _changed(config: Config) -> dict[str, Any]:
    """Arguments whose keys differ from their defaults, which are those of transformers."""
    of_keys = {
        "adam_beta1": (config.trainer, "adam_beta1"),
        "adam_beta2": (config.trainer, "adam_beta2"),
        "adam_epsilon": (config.trainer, "adam_epsilon"),
        "dataloader_num_workers": (config.data, "num_workers"),
        "dataloader_prefetch_factor": (config.data, "prefetch_factor"),
        "ddp_timeout": (config.resources, "ddp_timeout_s"),
    }
    values = {
        name: (getattr(group, key), getattr(type(group)(), key)) for name, (group, key) in of_keys.items()
    }
    return {name: value for name, (value, default) in values.items() if value != default}
