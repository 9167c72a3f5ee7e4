"""python -m launcher.train.count WANTED: what a model's blocks hold, counted on torch's meta device, without its weights.

It runs in a separate process, only on request (`plan --inspect`), since it imports torch and transformers. WANTED is
JSON with `name`, `revision` and `code` (model.trust_remote_code). The last line of stdout is JSON: {"shape": ...} with the
values of ArchitectureConfig, or {"error": TEXT}.
"""

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from launcher.config import ArchitectureConfig, BlockConfig
from launcher.errors import ConfigError, Exit
from launcher.launching.model_gate import refuse_other_kinds, shipped_code
from launcher.plan.model import count_parameters, read_windows

_NUMBERED = re.compile(r"(.*\bexperts)\.\d+\.(.*)")
"""An expert that is a separate module, as in code that is shipped with a model."""
_VISITED = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "moe_top_k",
    "top_k_experts",
    "moe_topk",
)

_READ = (
    "model_type",
    "num_hidden_layers",
    "layer_types",
    "sliding_window",
    "use_sliding_window",
    "sliding_window_pattern",
)


_REFUSALS = (ValueError, KeyError, OSError, ImportError, AttributeError, TypeError, RuntimeError)
"""What transformers raises for a configuration from which it cannot make a model."""


class Uncountable(Exception):
    """The model cannot be counted, with the reason."""


def main(argv: list[str]) -> int:
    """The exit code."""
    wanted: dict[str, Any] = json.loads(argv[0])
    try:
        shape = shape_of(wanted["name"], wanted["revision"], code=wanted["code"])
    except (Uncountable, ConfigError) as error:
        print(json.dumps({"error": " ".join(str(error).split())}), flush=True)
        return Exit.REFUSED
    print(json.dumps({"shape": asdict(shape)}), flush=True)
    return Exit.OK


def shape_of(name: str, revision: str, *, code: bool) -> ArchitectureConfig:
    """The shape of a hub's model or of a folder; Uncountable with the reason if it cannot be determined."""
    try:
        import torch
        from huggingface_hub.errors import StrictDataclassError
        from transformers import AutoConfig, AutoModelForCausalLM
        from transformers.utils import cached_file
    except ImportError as error:
        raise Uncountable(f"this Python has no {error.name}; pip install 'launcher[train]'") from None
    try:
        file = cached_file(name, "config.json", revision=revision)
    except (OSError, ValueError) as error:
        raise Uncountable(f"no config.json can be read ({_first(error)})") from None
    if file is None:
        raise Uncountable(f"no config.json can be read (it is not in {name})")
    values: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
    refuse_other_kinds(f"model.name_or_path={name}", values)
    if values.get("auto_map") and not code and not _knows(str(values.get("model_type"))):
        raise Uncountable(shipped_code(values.get("model_type")))
    try:
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=code)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=code)
    except (*_REFUSALS, StrictDataclassError) as error:
        raise Uncountable(_why(values, error)) from None
    return read_model(model, model.config.get_text_config())


def read_model(model: Any, config: Any) -> ArchitectureConfig:
    """The shape of a model on the meta device; Uncountable if its blocks are not a list of modules."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    lists = {
        name: one
        for name, one in model.named_modules()
        if isinstance(one, nn.ModuleList) and ".experts" not in name
    }
    blocks = _count(config, "num_hidden_layers")
    name = next((name for name, one in lists.items() if len(one) == blocks), None)
    if name is None:
        raise Uncountable(
            f"{type(model).__name__} has no list of {blocks} blocks, so its layers cannot be counted"
        )
    linears = {path: False for path, one in model.named_modules() if isinstance(one, nn.Linear)}
    # GPT-2's layers keep their weights as [in, out]
    linears |= {path: True for path, one in model.named_modules() if isinstance(one, Conv1D)}
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is None or head.weight is embedding.weight
    tables = {id(embedding.weight), *([] if head is None else [id(head.weight)])}
    inside: dict[int, list[tuple[str, tuple[int, ...], bool]]] = {}
    for path, one in model.named_parameters():  # a shared parameter comes once
        if id(one) in tables:
            continue
        owner, _, leaf = path.rpartition(".")
        found = re.fullmatch(rf"{re.escape(name)}\.(\d+)\.(.*)", path)
        is_linear = leaf == "weight" and owner in linears
        size = tuple(reversed(one.shape)) if is_linear and linears[owner] else tuple(one.shape)
        place = int(found[1]) if found else -1
        inside.setdefault(place, []).append((found[2] if found else path, size, is_linear))
    listed = _alike(inside)
    experts = [
        size[0]
        for one in listed
        for path, size in one.tensors.items()
        if "experts" in path and len(size) == 3
    ]
    window, full = read_windows({name: _value(config, name) for name in _READ})
    heads = _count(config, "num_attention_heads") or 1
    visited = next(filter(None, (_count(config, key) for key in _VISITED)), None)
    shape = ArchitectureConfig(
        model_type=str(config.model_type),
        hidden_size=int(embedding.embedding_dim),
        intermediate_size=_width(config, listed, int(embedding.embedding_dim)),
        num_hidden_layers=len(lists[name]),
        num_attention_heads=heads,
        num_key_value_heads=_count(config, "num_key_value_heads") or heads,
        head_dim=_count(config, "head_dim") or _head_width(listed, heads),
        vocab_size=int(embedding.num_embeddings),
        tie_word_embeddings=tied,
        num_experts=experts[0] if experts else None,
        num_experts_per_tok=visited if experts else None,
        sliding_window=window,
        full_attention_layers=full,
        blocks=listed,
    )
    every = sum(one.numel() for one in model.parameters())
    if count_parameters(shape) != every:
        raise Uncountable(
            f"it has {every:,} parameters, but only {count_parameters(shape):,} of them can be assigned to layers"
        )
    return shape


def _alike(inside: Mapping[int, Iterable[tuple[str, tuple[int, ...], bool]]]) -> list[BlockConfig]:
    """One BlockConfig per group of blocks with equal tensors; the number -1 stands for tensors outside of the blocks."""
    found: dict[str, BlockConfig] = {}
    for number, tensors in sorted(inside.items()):
        one = BlockConfig()
        for path, size, is_linear in tensors:
            if numbered := _NUMBERED.fullmatch(path):
                inner = f"{numbered[1]}.{numbered[2]}"
                count = one.tensors.get(inner, [0])[0] + 1
                one.tensors[inner] = [count, *size]
            elif is_linear:
                one.linears[path.removesuffix(".weight")] = [size[1], size[0]]
            else:
                one.tensors[path.removesuffix(".weight") if len(size) == 1 else path] = list(size)
        same = found.setdefault(f"{number < 0} {json.dumps(asdict(one))}", one)
        if number >= 0:
            same.layers.append(number)
    return list(found.values())


def _width(config: Any, blocks: Iterable[BlockConfig], hidden: int) -> int:
    """Width of one expert, otherwise of the MLP."""
    stacked = [
        size[1:]
        for one in blocks
        for path, size in one.tensors.items()
        if "experts" in path and len(size) == 3
    ]
    if stacked:
        return max(1, min(math.prod(size) for size in stacked) // hidden)
    return _count(config, "intermediate_size") or 4 * hidden


def _head_width(blocks: Iterable[BlockConfig], heads: int) -> int | None:
    """Width of a head, from the layer that follows the attention."""
    sizes = [size for one in blocks for path, size in one.linears.items() if path.endswith(".o_proj")]
    return max(1, sizes[0][0] // heads) if sizes else None


def _count(config: Any, name: str) -> int | None:
    """A number of the configuration; None if it has none, or a list with a number for each block."""
    value = _value(config, name)
    return value if isinstance(value, int) and value > 0 else None


def _value(config: Any, name: str) -> Any:
    """A value of the configuration by transformers' usual name; None if it has none."""
    return config.to_dict().get(config.attribute_map.get(name, name))


def _knows(model_type: str) -> bool:
    from transformers import CONFIG_MAPPING

    return model_type in CONFIG_MAPPING


def _why(values: Mapping[str, Any], error: Exception) -> str:
    from transformers import __version__

    kind = values.get("model_type")
    if not values.get("auto_map") and not _knows(str(kind)):
        return (
            f"transformers {__version__} does not know its model_type {kind}, and it ships no code of its own"
        )
    return f"transformers {__version__} cannot make it without its weights ({type(error).__name__}: {_first(error)})"


def _first(error: Exception) -> str:
    """The first sentence of an error, at most 200 characters."""
    text = " ".join(str(error).split())
    return re.split(r"(?<=[a-z)'\"])\. ", text)[0][:200].rstrip(". ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
