"""A tiny Llama with random weights and the byte tokenizer, in a folder as save_pretrained writes it."""

from pathlib import Path

EMPTY_WEIGHTS = (2).to_bytes(8, "little") + b"{}"
"""A whole file of the safetensors format that holds no tensor."""


def write_experts(folder: Path, *, seed: int) -> Path:
    """The folder of a tiny Mixtral: 2 blocks of 4 experts, of which each token visits 2."""
    import torch
    from transformers import MixtralConfig, MixtralForCausalLM

    from launcher.data.tokenizer import byte_tokenizer

    tokenizer = byte_tokenizer()
    torch.manual_seed(seed)
    shape = MixtralConfig(
        hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        num_local_experts=4, num_experts_per_tok=2, vocab_size=320, initializer_range=0.05, sliding_window=None,
        max_position_embeddings=2048, router_aux_loss_coef=0.02, bos_token_id=None, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    MixtralForCausalLM(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_tiny(
    folder: Path, *, seed: int, layers: int = 2, vocabulary: int = 320, spread: float = 0.02
) -> Path:
    """The folder. `spread`: standard deviation of the weights; at 0.3 some tokens are much more likely than others."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from launcher.data.tokenizer import byte_tokenizer

    tokenizer = byte_tokenizer()
    torch.manual_seed(seed)
    shape = LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=vocabulary, initializer_range=spread, max_position_embeddings=2048, bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
