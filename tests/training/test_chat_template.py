"""Every shipped chat template on a base model: what it renders is trained, its tokens are whole, and its rows are learnt."""

import copy
import dataclasses
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from launcher.data.mask import IGNORED, encode
from launcher.launching.chat_template import read_format, shipped
from launcher.plan.adapter import count_adapter
from launcher.plan.chat_format import ChatFormat, fit_tokenizer
from launcher.plan.model import read_architecture
from launcher.plugins.lora import LoRA
from launcher.train.vocabulary import fit_model

pytestmark = pytest.mark.train

CHAT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Is it raining?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Still?"},
        {"role": "assistant", "content": "Always."},
    ]
}


def base_tokenizer() -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare: Any = Tokenizer(models.BPE(vocab={one: at for at, one in enumerate(alphabet)}, merges=[]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    bare.add_special_tokens(["<|end|of|text|>"])
    return PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="<|end|of|text|>")


def base_model(*, tied: bool, rows: int = 257) -> Any:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(**shape, vocab_size=rows, tie_word_embeddings=tied, eos_token_id=256))


def fitted(chat: ChatFormat, model: Any) -> tuple[Any, Any]:
    tokenizer = base_tokenizer()
    fit_tokenizer(tokenizer, chat)
    fit_model(model, tokenizer, chat)
    return tokenizer, model


@pytest.mark.parametrize("name", shipped())
def test_a_base_model_learns_the_answers_of_a_chat_and_how_they_end(compose, name: str):
    chat = read_format(compose("+experiment=tiny", f"model.chat_template={name}"))
    assert chat is not None
    tokenizer, model = fitted(chat, base_model(tied=False))
    encoded = encode(CHAT, tokenizer, True, "here")
    trained = [
        token
        for token, label in zip(encoded["input_ids"], encoded["labels"], strict=True)
        if label != IGNORED
    ]
    assert (
        tokenizer.decode(trained).replace(" ", "").replace("\n", "")
        == f"Yes.{tokenizer.eos_token}Always.{tokenizer.eos_token}"
    )
    assert trained.count(tokenizer.eos_token_id) == 2
    text = tokenizer.decode(encoded["input_ids"])
    assert all(part["content"] in text for part in CHAT["messages"])
    assert all(
        encoded["input_ids"].count(tokenizer.convert_tokens_to_ids(one))
        for one in chat.control
        if one != "<|tool|>"
    )
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer) == 257 + len(chat.control)
    ends = model.generation_config.eos_token_id
    assert (ends[0] if isinstance(ends, list) else ends) == tokenizer.eos_token_id


@pytest.mark.parametrize(("tied", "rows"), [(False, 257), (True, 257), (True, 300)])
def test_an_adapter_trains_the_rows_of_new_tokens_and_brings_them_to_a_fresh_base(
    compose, tmp_path, tied: bool, rows: int
):
    from peft import PeftModel

    chat = read_format(
        compose("+experiment=tiny", "model.chat_template=chatml", "model.added_tokens=['<think>']")
    )
    assert chat is not None
    tokenizer, model = fitted(chat, base_model(tied=tied, rows=rows))
    fresh = copy.deepcopy(model)
    shape = read_architecture({**model.config.to_dict(), "vocab_size": rows})
    plugin = LoRA(r=2, alpha=4)
    adapted = plugin.on_model(model)
    planned = count_adapter(shape, dataclasses.replace(plugin.adapter, tokens=len(chat.trained)))
    assert planned == sum(one.numel() for one in adapted.parameters() if one.requires_grad)
    ids = torch.tensor([tokenizer("<|im_start|>a<think>b<|im_end|>")["input_ids"]])
    optimizer = torch.optim.SGD([one for one in adapted.parameters() if one.requires_grad], lr=1.0)
    before = {
        name: one.detach().clone() for name, one in adapted.named_parameters() if "trainable_tokens" in name
    }
    adapted(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    after = dict(adapted.named_parameters())
    assert len(before) == (1 if tied else 2) and all(
        not torch.equal(one, after[name]) for name, one in before.items()
    )
    adapted.save_pretrained(tmp_path, save_embedding_layers=False)
    again = PeftModel.from_pretrained(copy.deepcopy(fresh), tmp_path)
    torch.testing.assert_close(again(input_ids=ids).logits, adapted(input_ids=ids).logits)
    onward = copy.deepcopy(fresh)
    onward.start_adapter = str(tmp_path)  # as load_model notes model.adapter
    torch.testing.assert_close(plugin.on_model(onward)(input_ids=ids).logits, adapted(input_ids=ids).logits)
    merged = again.merge_and_unload()
    torch.testing.assert_close(merged(input_ids=ids).logits, adapted(input_ids=ids).logits)
