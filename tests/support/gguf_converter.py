"""A stand-in for llama.cpp's convert_hf_to_gguf.py: it writes a Llama of a folder as GGUF, without its tokenizer.

It runs as a program of its own: python gguf_converter.py MODEL --outfile FILE --outtype TYPE. CONVERTER_FAULT in the
environment names what it does wrong.
"""

import json
import os
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

TYPES = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}


def convert(model: Path, file: Path, kind: str, fault: str) -> None:
    """Writes the file."""
    if fault == "unknown":
        sys.exit("NotImplementedError: the pre-tokenizer was not recognized")
    config = json.loads((model / "config.json").read_text())
    heads, key_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base((config.get("rope_parameters") or config)["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, tensor in sorted(load_file(model / "model.safetensors").items()):
        if fault == "missing" and name.endswith("layers.0.mlp.up_proj.weight"):
            continue
        values = tensor.astype(np.float32)
        if name.endswith("q_proj.weight"):
            values = permuted(values, heads)
        if name.endswith("k_proj.weight"):
            values = permuted(values, key_heads)
        if fault == "values" and name.endswith("down_proj.weight"):
            values = values * 2
        wanted = TYPES[kind] if values.ndim > 1 else gguf.GGMLQuantizationType.F32
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        writer.add_tensor(known, gguf.quants.quantize(np.ascontiguousarray(values), wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def permuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """The rows in the order of llama.cpp's rotary embedding. Source: convert_hf_to_gguf.py, LlamaModel.permute."""
    rows = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return rows.swapaxes(1, 2).reshape(weights.shape)


if __name__ == "__main__":
    model, _, file, _, kind = sys.argv[1:]
    convert(Path(model), Path(file), kind, os.environ.get("CONVERTER_FAULT", ""))
