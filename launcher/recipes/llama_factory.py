"""LLaMA-Factory's recipes (`llamafactory-cli train FILE`)."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, cast

from launcher.plan.names import MUON
from launcher.recipes import arguments, experts, parts, sharding
from launcher.recipes.base import Draft, Step, Tool, absent, is_off, plugin, same, to

_STAGES = {"pt": "pretrain", "rm": "reward"}
"""Stages that have another name here."""
_VISION = absent("vision and audio inputs are not supported")
_OTHER = absent("specific to LLaMA-Factory")
_KT = absent("KTransformers' CPU experts are not supported")
_MEGATRON = absent("Megatron is not used; strategy=zero3 or fsdp2 shards the weights")


def _method(recipe: Mapping[str, Any]) -> str | None:
    stage = recipe.get("stage")
    return _STAGES.get(str(stage), str(stage)) if stage else None


def _trains_nothing(recipe: Mapping[str, Any]) -> str | None:
    if "export_dir" in recipe and not recipe.get("do_train"):
        return (
            "merges or exports a model that is trained already; after a run: python -m launcher export RUN --merged --to "
            f"{recipe['export_dir']}"
        )
    if "infer_backend" in recipe and not recipe.get("do_train"):
        return (
            "asks a trained model; after a run: python -m launcher chat RUN, or python -m launcher serve RUN"
        )
    if "model" in recipe and "model_name_or_path" not in recipe:
        return (
            "has the keys of LLaMA-Factory's v1, which are not read; begin a file with python -m launcher init --model "
            f"{recipe['model']} --data FILE, and copy the values"
        )
    return None


def _finish(draft: Draft) -> None:
    recipe = draft.recipe
    draft.same("stage", f"trainer.kind={draft.method}")
    kind = str(draft.get("finetuning_type"))
    quantized = not is_off(recipe.get("quantization_bit"))
    if kind in ("lora", "full"):
        name = ("qlora" if quantized else "lora") if kind == "lora" else None
        parts.adapter(draft, name, ("finetuning_type", "quantization_bit"), {
            "lora_rank": "r", "lora_alpha": "alpha", "lora_dropout": "dropout", "lora_target": "target_modules",
            "additional_target": "modules_to_save", "use_rslora": "use_rslora", "use_dora": "use_dora",
        })  # fmt: skip
        if name and recipe.get("lora_alpha") is None:
            draft.put(
                f"plugins.{name}.alpha", 2 * int(draft.get("lora_rank")), "twice the rank, as the tool does"
            )
        if quantized and recipe["quantization_bit"] != 4:
            draft.lost(
                "quantization_bit", f"{recipe['quantization_bit']} bits are not supported; 4 bits are used"
            )
        if name and recipe.get("pissa_init"):
            steps = recipe.get("pissa_iter", 16)
            how = f"pissa_niter_{steps}" if steps > 0 else "pissa"
            draft.carry(("pissa_init", "pissa_iter"), f"plugins.{name}.init_lora_weights", how)
    else:
        draft.absent(
            "finetuning_type",
            f"{kind} is not supported; with plugins.lora an adapter is trained, and without it all weights",
        )
    parts.batch(draft, "per_device_train_batch_size", "gradient_accumulation_steps")
    parts.precision(draft, *(key for key in ("bf16", "fp16", "pure_bf16") if key in recipe))
    _data(draft)
    parts.saves(draft, "save_strategy", "save_steps")
    parts.evaluations(draft, "eval_strategy", "eval_steps")
    if not recipe.get("disable_gradient_checkpointing"):
        draft.put("plugins.gradient_checkpointing", True, "this tool's default")


_INFO = "dataset_info.json"
"""The tool's table of data sets: name -> its file in the same folder, or its name on the hub."""


def _path(name: str, known: dict[str, Any], folder: str) -> str:
    """The file or data set that dataset_info.json gives for a name; empty if it gives none."""
    if known.get("hf_hub_url"):
        return parts.hub_name(str(known["hf_hub_url"]), known.get("subset"), known.get("split"))
    file = str(known.get("file_name") or "")
    return str(PurePath(folder, file)) if file else ""


def _names(value: Any) -> list[str]:
    return [one.strip() for one in value.split(",")] if isinstance(value, str) else list(value or [])


def _guessed(draft: Draft, key: str, found: list[str]) -> list[str]:
    return [path or f"{name}.jsonl" for path, name in zip(found, _names(draft.recipe[key]), strict=True)]


def _data(draft: Draft) -> None:
    folder = str(draft.recipe.get("dataset_dir") or "data")
    beside: dict[str, Any] | None = draft.read_beside(_INFO)
    info: dict[str, Any] = beside or draft.read_beside(f"{folder}/{_INFO}") or {}
    inside = "" if beside else folder

    def paths(key: str) -> list[str]:
        return [_path(name, info.get(name) or {}, inside) for name in _names(draft.recipe.get(key))]

    found = paths("dataset")
    if all(found):
        parts.sources(draft, ("dataset",), [(path, 1.0) for path in found])
    else:
        parts.named_elsewhere(draft, "dataset", _guessed(draft, "dataset", found), _INFO)
    evaluated = paths("eval_dataset")
    if evaluated:
        draft.entries.pop("data.eval_path", None)
    if evaluated and not evaluated[0]:
        parts.named_elsewhere(
            draft, "eval_dataset", _guessed(draft, "eval_dataset", evaluated)[:1], _INFO, "data.eval_path"
        )
    elif len(evaluated) == 1:
        draft.carry("eval_dataset", "data.eval_path", evaluated[0])
    elif evaluated:
        draft.lost(
            "eval_dataset", "only one file is evaluated, and this is the first one; append the others to it"
        )
        draft.put("data.eval_path", evaluated[0])
    parts.held_out(draft, "val_size")


def _flash(draft: Draft, key: str, value: Any) -> None:
    to("model.attn_implementation", parts.attention)(draft, key, value)


def _words(value: Any) -> list[str]:
    return (
        [str(one) for one in cast("list[Any]", value)] if isinstance(value, list) else str(value).split(",")
    )


_OWN: Mapping[str, Step] = {
    "cutoff_len": to("model.max_length", int),
    "max_samples": to("data.max_samples", int),
    "template": lambda draft, key, value: parts.template(draft, key, str(value)),
    "dataset_dir": same("the folder is part of data.path"),
    "overwrite_cache": same("tokens are made again when the data changes"),
    "tokenized_path": absent("tokens are cached in cache_dir"),
    "plot_loss": same("`launcher report` draws the curves"),
    "flash_attn": _flash,
    "enable_liger_kernel": plugin("liger"),
    "packing": parts.packing,
    "neat_packing": parts.packing,
    "train_on_prompt": to("trainer.assistant_only_loss", lambda value: not value),
    "pref_beta": to("trainer.beta", float),
    "pref_loss": to("trainer.loss_type", str),
    "pref_ftx": absent("a supervised loss term in addition to the preference loss is not supported"),
    "kto_chosen_weight": to("trainer.desirable_weight", float),
    "kto_rejected_weight": to("trainer.undesirable_weight", float),
    "deepspeed": sharding.deepspeed,
    "fsdp": lambda draft, key, value: sharding.fsdp(draft, key, "offload" in str(value)),
    "fsdp_config": lambda draft, key, value: sharding.fsdp(draft, key, False),
    "fsdp_transformer_layer_cls_to_wrap": same("the layers are found in the model"),
    "use_galore": _OTHER,
    "val_size": same("it becomes data.eval_fraction"),
    "adapter_name_or_path": to("model.adapter", str),
    "upcast_layernorm": absent("norms have the number format of the model"),
    "disable_gradient_checkpointing": same("it turns plugins.gradient_checkpointing off"),
    "use_reentrant_gc": to("plugins.gradient_checkpointing.use_reentrant", bool),
    "double_quantization": to("plugins.qlora.double_quant", bool),
    "quantization_type": to("plugins.qlora.quant_type", str),
    "quantization_method": same("4-bit weights use bitsandbytes"),
    "predict_with_generate": absent("`launcher evaluate` follows the training"),
    "loraplus_lr_ratio": absent("both parts of an adapter have the same learning rate"),
    "pissa_convert": absent("`launcher export` writes the adapter"),
    "resize_vocab": same("the vocabulary grows with model.added_tokens"),
    "add_tokens": to("model.added_tokens", _words),
    "freeze_trainable_layers": _OTHER,
    "freeze_trainable_modules": _OTHER,
    "ray_num_workers": absent("Ray is not used; set resources.nodes and resources.gpus_per_node"),
    "fp8_backend": absent("FP8 training is not supported"),
    "fp8_enable_fsdp_float8_all_gather": absent("FP8 training is not supported"),
    **dict.fromkeys(("image_max_pixels", "video_max_pixels", "video_fps", "video_maxlen", "freeze_vision_tower",
                     "freeze_multi_modal_projector", "freeze_language_model"), _VISION),
    **dict.fromkeys(("use_kt", "kt_config", "kt_cpu_activation", "kt_weight_path", "kt_non_expert_weight_path"), _KT),
    **dict.fromkeys(("use_adam_mini", "use_apollo", "apollo_layerwise", "apollo_target", "apollo_rank", "apollo_scale",
                     "apollo_scale_type", "use_badam", "badam_mode", "badam_switch_mode", "badam_switch_interval",
                     "badam_verbose", "galore_layerwise", "galore_target", "galore_rank", "galore_scale",
                     "use_asft_loss", "asft_alpha", "use_dft_loss", "use_eaft_loss", "use_llama_pro", "mixture_of_depths",
                     "oft_block_size", "oft_target", "use_v1_kernels"), _OTHER),
    "use_muon": lambda draft, key, value: (
        draft.same(key, "off") if is_off(value) else draft.carry(key, "trainer.optim", MUON)
    ),
    "moe_aux_loss_coef": experts.balance,
    "context_parallel_size": sharding.sequence_parallel,
    **dict.fromkeys(("tensor_model_parallel_size", "pipeline_model_parallel_size", "expert_model_parallel_size",
                     "sequence_parallel", "use_distributed_optimizer", "bias_activation_fusion",
                     "apply_rope_fusion", "overlap_param_gather", "overlap_grad_reduce", "moe_grouped_gemm",
                     "moe_token_dispatcher_type", "recompute_granularity", "use_packed_sequences", "export_hf_on_finish"),
                    _MEGATRON),
}  # fmt: skip

_MARKS = frozenset({
    "stage", "finetuning_type", "template", "cutoff_len", "lora_rank", "lora_target", "dataset_dir", "model_name_or_path",
    "output_dir",
})  # fmt: skip
SPEC = Tool(
    title="LLaMA-Factory",
    source="https://github.com/hiyouga/LLaMA-Factory, src/llamafactory/hparams",
    marks=_MARKS,
    table={**arguments.TRAINING, **arguments.MODEL, **_OWN},
    finish=_finish,
    method=_method,
    trains_nothing=_trains_nothing,
    defaults=lambda method: {
        "learning_rate": 5e-5, "num_train_epochs": 3.0, "lr_scheduler_type": "linear", "warmup_steps": 0,
        "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "cutoff_len": 2048, "save_steps": 500,
        "finetuning_type": "lora", "lora_rank": 8, "lora_target": "all", "packing": method == _STAGES["pt"],
    },
)  # fmt: skip
