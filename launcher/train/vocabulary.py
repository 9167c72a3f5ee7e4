"""The chat template and the tokens that a run gives its model: in the tokenizer, the embeddings and the end of an answer."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from launcher.plan.chat_format import ChatFormat


def fit_model(model: Any, tokenizer: Any, chat: ChatFormat) -> None:
    """Gives the model a row for each token of the tokenizer, and notes the tokens whose embeddings an adapter trains.

    New rows are the mean of the others, so that every rank makes the same ones. A vocabulary never shrinks: the rows that many
    models have beyond their tokens stay.
    """
    rows = _rows(model.get_input_embeddings())
    if len(tokenizer) > rows:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        for layer in _tables(model):
            with _whole(layer.weight), torch.no_grad():
                layer.weight[rows:] = layer.weight[:rows].float().mean(0).to(layer.weight.dtype)
    ids = [tokenizer.convert_tokens_to_ids(token) for token in chat.trained]
    model.trained_tokens = sorted(set(ids))  # plugins.lora trains them
    if chat.eos:
        model.config.eos_token_id = tokenizer.eos_token_id
        if getattr(model, "generation_config", None) is not None:
            before = model.generation_config.eos_token_id
            ends = [tokenizer.eos_token_id, *(before if isinstance(before, list) else [before])]
            model.generation_config.eos_token_id = [one for one in dict.fromkeys(ends) if one is not None]
    if chat.pad or model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
        if getattr(model, "generation_config", None) is not None:
            model.generation_config.pad_token_id = tokenizer.pad_token_id


def _rows(embedding: Any) -> int:
    shape = getattr(embedding.weight, "ds_shape", embedding.weight.shape)  # DeepSpeed leaves an empty shard
    return int(shape[0])


def _whole(weight: Any) -> AbstractContextManager[Any]:
    """The complete weight, within the context. If DeepSpeed shards it, the changes that rank 0 makes are kept."""
    if not hasattr(weight, "ds_id"):
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(weight, modifier_rank=0)


def _tables(model: Any) -> list[Any]:
    """The embedding, and the head unless it has the same weights."""
    first, last = model.get_input_embeddings(), model.get_output_embeddings()
    return [first] if last is None or last.weight is first.weight else [first, last]
