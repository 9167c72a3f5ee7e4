"""What is trained on: the mask of a chat, for the templates of shipped models and others, and the rows of a rank."""

import copy
import itertools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trl

from launcher.__main__ import main
from launcher.config import SourceConfig
from launcher.data.mask import IGNORED, encode, show
from launcher.data.tokenizer import load_tokenizer
from launcher.errors import DataError
from launcher.launching.chat_template import format_named, shipped
from launcher.plan.chat_format import fit_tokenizer
from launcher.resources import resource_dir
from launcher.train.data.tokens import repeat, tokenized
from tests.support.runs import command, environment
from tests.support.tiny_model import EMPTY_WEIGHTS

TWO_TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "More?"},
    {"role": "assistant", "content": "No."},
]
CALL = {"type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}}
CALLED = '<tool_call>\n{"name": "clock", "arguments": {"zone": "UTC"}}\n</tool_call>'
TEMPLATES = Path(trl.__file__).parent / "chat_templates"
# Stock templates as trl ships them; llama3_1 is that of model=llama3_1_8b and llama3_1_70b.
ENDS = {
    "llama3": "<|eot_id|>",
    "llama3_1": "<|eot_id|>",
    "llama3_2": "<|eot_id|>",
    "qwen2_5": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "gemma": "<end_of_turn>",
    "gemma3": "<end_of_turn>",
    "phi3": "<|end|>",
    "qwen3_instruct_2507": "<|im_end|>",
    "gptoss": "<|return|>",
    "mistral": "</s>",
    "phi4": "<|im_end|>",
    "phi4_mini": "<|end|>",
    "smollm3": "<|im_end|>",
}
NO_SYSTEM = ("gemma", "mistral")
"""Stock templates that refuse a system turn."""
MODELS = {
    "gemma2_9b": "gemma",
    "gemma3_1b": "gemma3",
    "llama3_2_1b": "llama3_2",
    "llama3_2_3b": "llama3_2",
    "llama3_3_70b": "llama3_1",
    "mistral_small_24b": "mistral",
    "qwen3_30b_a3b": "qwen3",
    "qwen3_0_6b": "qwen3",
    "qwen3_4b": "qwen3",
    "qwen3_14b": "qwen3",
    "qwen3_32b": "qwen3",
    "gemma_7b": "gemma",
    "llama3_1_70b": "llama3_1",
    "llama3_1_8b": "llama3_1",
    "mistral_7b": "mistral",
    "mixtral_8x7b": "mistral",
    "qwen2_5_7b": "qwen2_5",
    "qwen3_8b": "qwen3",
    "qwen3_next_80b_a3b": "qwen3_instruct_2507",
    "gpt_oss_20b": "gptoss",
    "gpt_oss_120b": "gptoss",
    "phi4_14b": "phi4",
    "phi4_mini": "phi4_mini",
    "smollm3_3b": "smollm3",
}
"""The template of each shipped model whose tokenizer is on a hub; smollm2_135m and tiny have theirs here."""
OWN_WORDS = {
    "mistral": (
        "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
        "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
    ),
    "phi4": (
        "{%- for message in messages -%}"
        "{{ '<|im_start|>' + message.role + '<|im_sep|>' + message.content + '<|im_end|>' }}"
        "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant<|im_sep|>' }}{%- endif -%}"
    ),
    "phi4_mini": (
        "{%- for message in messages -%}{{ '<|' + message.role + '|>' + message.content }}"
        "{%- if message.role == 'system' and message.tools -%}{{ '<|tool|>' + message.tools + '<|/tool|>' }}{%- endif -%}"
        "{{ '<|end|>' }}{%- endfor -%}{{ '<|assistant|>' if add_generation_prompt else eos_token }}"
    ),
    "smollm3": (
        "{%- set asked = messages[0].content if messages[0].role == 'system' else '' -%}"
        "{%- set thinks = '/no_think' not in asked and ('/think' in asked or enable_thinking | default(true)) -%}"
        "{%- set own = asked.replace('/no_think', '').replace('/think', '').rstrip() -%}"
        "{{- '<|im_start|>system\n' -}}"
        "{%- if '/system_override' in asked -%}{{- own.replace('/system_override', '').rstrip() + '<|im_end|>\n' -}}"
        "{%- else -%}"
        "{{- '## Metadata\n\nKnowledge Cutoff Date: June 2025\nToday Date: ' + strftime_now('%d %B %Y') + '\n' -}}"
        "{{- 'Reasoning Mode: ' + ('/think' if thinks else '/no_think') + '\n\n## Custom Instructions\n\n' -}}"
        "{{- (own or 'You are a helpful AI assistant named SmolLM, trained by Hugging Face.') + '\n\n' -}}"
        "{%- if tools -%}{{- '### XML Tools\n\n<tools>\n' -}}"
        "{%- for tool in tools -%}{{- tool | tojson + '\n' -}}{%- endfor -%}"
        "{{- '</tools>\n\n' -}}{%- endif -%}{{- '<|im_end|>\n' -}}{%- endif -%}"
        "{%- set thought = '' if thinks else '<think>\n\n</think>\n' -%}"
        "{%- for message in messages -%}{%- set said = message.content if message.content is string else '' -%}"
        "{%- if message.role == 'assistant' -%}"
        "{{- '<|im_start|>assistant\n' + thought + said.lstrip('\n') + '<|im_end|>\n' -}}"
        "{%- elif message.role in ('user', 'tool') -%}{{- '<|im_start|>user\n' + said + '<|im_end|>\n' -}}{%- endif -%}"
        "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' + thought -}}{%- endif -%}"
    ),
}
"""What models render whose templates trl does not ship, in our own words: Mistral's first generation (turns in [INST], answers
closed by </s>), Phi-4, Phi-4-mini (no line breaks, and the end-of-text token behind the whole chat) and SmolLM3."""


@pytest.fixture(scope="module")
def smollm2() -> Any:
    pytest.importorskip("gguf")
    try:
        return load_tokenizer("smollm2_135m")[0]
    except DataError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def tiny() -> Any:
    return load_tokenizer("tiny")[0]


@pytest.fixture
def dressed(smollm2) -> Any:
    """SmolLM2's tokenizer with another model's template and special tokens."""

    def dressed(name: str) -> Any:
        tokenizer = copy.deepcopy(smollm2)
        tokenizer.chat_template = OWN_WORDS.get(name) or (TEMPLATES / f"{name}.jinja").read_text()
        starts = [
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<start_of_turn>",
            "<|user|>",
            "<|assistant|>",
            "<|start|>",
            "<|channel|>",
            "<|message|>",
            "<|end|>",
            "<|im_sep|>",
            "<|system|>",
            "<think>",
            "</think>",
        ]
        tokenizer.add_tokens([ENDS[name], *starts], special_tokens=True)
        tokenizer.add_tokens(["<tool_call>", "</tool_call>"])  # as in Qwen3's own: added, and not special
        tokenizer.bos_token = "<s>"
        if name == "mistral":
            tokenizer.eos_token = "</s>"
        return tokenizer

    return dressed


def trained(encoded: dict[str, list[int]], tokenizer: Any) -> list[str]:
    """The pieces that are trained on."""
    runs = itertools.groupby(zip(*encoded.values(), strict=True), lambda pair: pair[1] != IGNORED)
    return ["".join(tokenizer.decode([token]) for token, _ in run) for is_trained, run in runs if is_trained]


def encode_turns(turns: list[dict], tokenizer: Any, **more: Any) -> dict[str, list[int]]:
    return encode({"messages": turns, **more}, tokenizer, True, "here")


def test_smollm2_trains_on_the_answers_and_their_ends_alone(smollm2):
    shown = show(encode_turns(TWO_TURNS, smollm2), smollm2)
    print(shown)
    assert shown == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n[Hello.<|im_end|>]\n"
        "<|im_start|>user\nMore?<|im_end|>\n<|im_start|>assistant\n[No.<|im_end|>]\n"
    )


def test_the_byte_tokenizer_trains_on_the_answers_and_their_ends_alone(tiny):
    shown = show(encode_turns(TWO_TURNS, tiny), tiny)
    print(shown)
    assert shown == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n[Hello.<|im_end|>]\n"
        "<|im_start|>user\nMore?<|im_end|>\n<|im_start|>assistant\n[No.<|im_end|>]\n"
    )


def test_every_shipped_model_has_a_template_here():
    shipped = {path.stem for path in (resource_dir("conf") / "model").glob("*.yaml")}
    assert shipped == {
        *MODELS,
        "smollm2_135m",
        "smollm2_360m",
        "smollm2_1_7b",
        "tiny",
    }  # SmolLM2 has one template
    assert set(MODELS.values()) <= set(ENDS)


@pytest.mark.parametrize("name", ENDS)
def test_each_stock_template_trains_on_the_answers_and_their_ends(dressed, name: str):
    tokenizer = dressed(name)
    encoded = encode_turns(TWO_TURNS, tokenizer)
    print(show(encoded, tokenizer))
    first, second = trained(encoded, tokenizer)
    channel = "<|channel|>final<|message|>" if name == "gptoss" else ""
    middle = "<|end|>" if name == "gptoss" else ENDS[name]  # <|return|> ends its last answer alone
    assert first == f"{channel}Hello.{middle}"
    # Qwen3 closes an empty thought before its last answer, Phi-3 the whole text behind it: both must be said by the model
    last = second.removeprefix("<think>\n\n</think>\n\n").removesuffix(f"\n{tokenizer.eos_token}")
    last = last.removesuffix(tokenizer.eos_token) if name == "phi4_mini" else last
    last = last.removeprefix(channel)
    assert last == f"No.{ENDS[name]}"


@pytest.mark.parametrize("name", ENDS)
def test_the_tokens_are_those_of_the_stock_template_one_by_one(dressed, name: str):
    tokenizer = dressed(name)
    stock = tokenizer.apply_chat_template(TWO_TURNS, return_dict=True)["input_ids"]
    assert encode_turns(TWO_TURNS, tokenizer)["input_ids"] == stock


def _check_answer(tokenizer: Any, chat: list[dict[str, Any]], end: str, *, closed: tuple[str, ...] = ("",)):
    """The answer is trained on with its end token, behind the prompt with which a server asks for it."""
    encoded = encode_turns(chat, tokenizer)
    at = [number for number, label in enumerate(encoded["labels"]) if label != IGNORED]
    assert at == list(range(at[0], at[-1] + 1))
    said = tokenizer.decode(encoded["input_ids"][at[0] : at[-1] + 1])
    assert said.rpartition(chat[-1]["content"])[2] in [f"{end}{more}" for more in closed]
    before = tokenizer.apply_chat_template(chat[:-1], add_generation_prompt=True, tokenize=False)
    assert tokenizer.decode(encoded["input_ids"][: at[0]]) == before
    places = [before.index(turn["content"]) for turn in chat[:-1]]
    assert places == sorted(places)


ASKED = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hoot?"},
    {"role": "assistant", "content": "Hello."},
]


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_template_has_the_whole_chat_and_the_answer_behind_the_prompt_of_a_server(tiny, name: str):
    tokenizer, template = copy.deepcopy(tiny), format_named(name, os.environ)
    fit_tokenizer(tokenizer, template)
    _check_answer(tokenizer, ASKED, template.eos or tokenizer.eos_token)
    asked_again = [*ASKED, {"role": "user", "content": "More?"}, {"role": "assistant", "content": "No."}]
    shown = show(encode_turns(asked_again, tokenizer), tokenizer)
    assert shown.count(f"{template.eos or tokenizer.eos_token}]") == 2


@pytest.mark.parametrize("name", ENDS)
def test_a_stock_template_has_the_whole_chat_and_the_answer_behind_the_prompt_of_a_server(dressed, name: str):
    tokenizer = dressed(name)
    if name in NO_SYSTEM:
        with pytest.raises(DataError, match="chat template refuses the chat"):
            encode_turns(ASKED, tokenizer)
    # Phi-3 closes a whole chat with the end-of-text token; a chat that goes on has none there
    tail = {"phi3": f"\n{tokenizer.eos_token}", "phi4_mini": tokenizer.eos_token}.get(name)
    closed = ("", tail) if tail else ("",)
    _check_answer(tokenizer, ASKED[name in NO_SYSTEM :], ENDS[name], closed=closed)


@pytest.mark.parametrize("name", ["llama3", "qwen2_5", "gemma", "gemma3"])
def test_generation_marks_give_the_same_mask_but_for_space_behind_the_end(dressed, name: str):
    tokenizer = dressed(name)
    marked = (TEMPLATES / f"{name}_training.jinja").read_text()
    theirs = tokenizer.apply_chat_template(
        TWO_TURNS, chat_template=marked, return_assistant_tokens_mask=True, return_dict=True
    )
    labels = [
        token if mask else IGNORED
        for token, mask in zip(theirs["input_ids"], theirs["assistant_masks"], strict=True)
    ]
    pieces = trained({"input_ids": theirs["input_ids"], "labels": labels}, tokenizer)
    assert [piece.strip() for piece in pieces] == trained(encode_turns(TWO_TURNS, tokenizer), tokenizer)


def test_a_turn_of_weight_0_is_not_trained_on(tiny):
    turns = [TWO_TURNS[0], {**TWO_TURNS[1], "weight": 0}, *TWO_TURNS[2:]]
    assert trained(encode_turns(turns, tiny), tiny) == ["No.<|im_end|>"]


def test_a_tool_call_is_trained_on_where_the_template_knows_none(tiny):
    turns = [TWO_TURNS[0], {"role": "assistant", "content": "", "tool_calls": [CALL]}]
    assert trained(encode_turns(turns, tiny), tiny) == [f"{CALLED}<|im_end|>"]


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3"])
@pytest.mark.parametrize("content", ["I'll check.", ""])
@pytest.mark.parametrize("calls", [1, 2])
def test_a_tool_call_is_trained_on_as_the_template_shows_it(dressed, name: str, content: str, calls: int):
    tokenizer = dressed(name)
    encoded = encode_turns(
        [
            TWO_TURNS[0],
            {"role": "assistant", "content": content, "tool_calls": [CALL] * calls},
            *[{"role": "tool", "content": "12:00"}] * calls,
            {"role": "assistant", "content": "Noon."},
            *TWO_TURNS[2:],
        ],
        tokenizer,
    )
    print(show(encoded, tokenizer))
    called, *answers = trained(encoded, tokenizer)
    said = [content] if content else []
    assert called.strip() == "\n".join([*said, *[CALLED] * calls]) + "<|im_end|>"
    assert [answer.removeprefix("<think>\n\n</think>\n\n") for answer in answers] == [
        "Noon.<|im_end|>",
        "No.<|im_end|>",
    ]


@pytest.mark.parametrize("name", ["phi3", "phi4", "phi4_mini", "smollm3"])
def test_a_call_that_a_template_does_not_know_is_trained_on_as_text_with_its_end(dressed, name: str):
    tokenizer = dressed(name)
    called = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    turns = [
        TWO_TURNS[0],
        called,
        {"role": "tool", "content": "12:00"},
        {"role": "assistant", "content": "Noon."},
    ]
    pieces = trained(encode_turns(turns, tokenizer), tokenizer)
    tail = tokenizer.eos_token if name in ("phi3", "phi4_mini") else ""
    assert [piece.removesuffix(tail).rstrip() for piece in pieces] == [
        CALLED + ENDS[name],
        "Noon." + ENDS[name],
    ]


def test_a_thought_of_smollm3_is_trained_on_and_its_empty_thought_is_not(dressed):
    tokenizer = dressed("smollm3")
    thinks = [TWO_TURNS[0], {"role": "assistant", "content": "<think>\nA greeting.\n</think>\nHello."}]
    assert trained(encode_turns(thinks, tokenizer), tokenizer) == [
        "<think>\nA greeting.\n</think>\nHello.<|im_end|>"
    ]
    silent = [{"role": "system", "content": "/no_think"}, *TWO_TURNS]
    assert trained(encode_turns(silent, tokenizer), tokenizer) == ["Hello.<|im_end|>", "No.<|im_end|>"]


def test_a_template_with_a_mistake_is_named_as_such(tiny):
    tokenizer = copy.deepcopy(tiny)
    tokenizer.chat_template = "{% for m in messages %}\n{{ m.content | nosuch }}{% endfor %}"
    with pytest.raises(DataError, match=r"not valid Jinja \(line 2: No filter named 'nosuch'"):
        encode_turns(TWO_TURNS, tokenizer)


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3"])
def test_a_tool_call_at_the_end_of_a_chat_is_trained_on_with_its_end(dressed, name: str):
    tokenizer = dressed(name)
    turns = [TWO_TURNS[0], {"role": "assistant", "content": "", "tool_calls": [CALL]}]
    (called,) = trained(encode_turns(turns, tokenizer), tokenizer)
    assert called.removeprefix("<think>\n\n</think>\n\n").strip() == f"{CALLED}<|im_end|>"


def test_plain_text_is_trained_on_whole_and_closed(tiny):
    encoded = encode({"text": "abc"}, tiny, True, "here")
    assert encoded["labels"] == encoded["input_ids"]
    assert tiny.decode(encoded["input_ids"]) == "abc<|im_end|>"


def test_without_assistant_only_loss_everything_is_trained_on(tiny):
    encoded = encode({"messages": TWO_TURNS}, tiny, False, "here")
    assert encoded["labels"] == encoded["input_ids"]


def test_a_template_that_hides_an_answer_is_refused(tiny):
    tokenizer = copy.deepcopy(tiny)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'user' or loop.last %}{{ m.content }}{% endif %}{% endfor %}"
    )
    with pytest.raises(DataError, match="answer of turn 2 cannot be found"):
        encode_turns(TWO_TURNS, tokenizer)


def test_a_chat_that_the_template_refuses_is_one_line(dressed):
    with pytest.raises(DataError, match=r"template refuses the chat \(System role not supported\)"):
        encode_turns([{"role": "system", "content": "Be short."}, *TWO_TURNS], dressed("gemma"))


SAME = {
    "messages": {"messages": TWO_TURNS[:2]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]},
    "prompt_completion": {"prompt": "Hi", "completion": "Hello."},
    "alpaca": {"instruction": "Hi", "input": "", "output": "Hello."},
    "input_output": {"input": "Hi", "output": "Hello."},
    "preference": {"prompt": "Hi", "chosen": "Hello.", "rejected": "No."},
}


@pytest.mark.parametrize("name", SAME)
def test_every_format_gives_the_same_tokens_on_a_rank(tmp_path, compose, tiny, name: str):
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(SAME[name]) + "\n")
    row = tokenized(str(path), tiny, compose("+experiment=tiny", "trainer.packing=false"))[0]
    assert {name: row[name] for name in ("input_ids", "labels")} == encode_turns(TWO_TURNS[:2], tiny)


def test_sources_are_seen_by_their_weights(tmp_path, compose, tiny):
    for name in ("a", "b"):
        (tmp_path / name).write_text(
            "".join(f'{{"prompt": "{name}", "completion": "{n}"}}\n' for n in range(10))
        )
    config = compose("+experiment=tiny", "trainer.packing=false")
    config.data.sources = [
        SourceConfig(path="a", weight=2.0),
        SourceConfig(path="b", weight=0.5),
    ]
    rows = tokenized([str(tmp_path / "a"), str(tmp_path / "b")], tiny, config)
    text = [tiny.decode(rows[number]["input_ids"]) for number in range(len(rows))]
    assert (sum("user\na" in one for one in text), sum("user\nb" in one for one in text)) == (20, 5)


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 4), (2.0, 8), (0.5, 2), (1.25, 5), (0.01, 1)])
def test_a_weight_is_how_often_rows_are_seen(weight: float, expected: int):
    assert len(repeat(list("abcd"), weight, 0)) == expected


def test_a_hub_data_set_is_read_by_its_name_and_split(tmp_path, compose, tiny, monkeypatch):
    (tmp_path / "chats").mkdir()  # a folder under that name is what the library takes where there is one
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [TWO_TURNS[0], {"role": "assistant", "content": None, "tool_calls": [call]}]
    rows = [{"messages": TWO_TURNS[:2]}, {"messages": turns}]
    (tmp_path / "chats" / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    found = tokenized("hub:chats:train", tiny, compose("+experiment=tiny", "trainer.packing=false"))
    assert {name: found[0][name] for name in ("input_ids", "labels")} == encode_turns(TWO_TURNS[:2], tiny)
    assert len(found) == 2


def test_the_check_counts_tokens_with_the_models_own_tokenizer(tmp_path, capsys, tiny):
    (tmp_path / "train.jsonl").write_text(json.dumps(SAME["messages"]) + "\n")
    main(["data", "check", str(tmp_path / "train.jsonl"), "--model", "tiny", "--json"])
    tokens = json.loads(capsys.readouterr().out)["tokens"]
    encoded = encode_turns(TWO_TURNS[:2], tiny)
    assert (tokens["basis"], tokens["max_length"]) == ("counted", 256)
    assert tokens["trained_share"] == sum(label != IGNORED for label in encoded["labels"]) / len(
        encoded["labels"]
    )


def test_a_prompt_longer_than_max_length_leaves_nothing_to_train_on(tmp_path, capsys):
    (tmp_path / "train.jsonl").write_text(json.dumps({"prompt": "x" * 400, "completion": "y"}) + "\n")
    assert main(["data", "check", str(tmp_path / "train.jsonl"), "--model", "tiny", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"][0]
    assert found["rule"] == "nothing_trained"
    assert "model.max_length=256" in found["message"]


def test_answers_alone_are_everything_also_where_the_template_adds_tokens(tmp_path, capsys):
    (tmp_path / "train.jsonl").write_text(json.dumps({"messages": [TWO_TURNS[1]]}) + "\n")
    assert main(["data", "check", str(tmp_path / "train.jsonl"), "--model", "tiny", "--json"]) == 1
    assert "everything_trained" in json.loads(capsys.readouterr().out)["counts"]


def test_an_unknown_model_is_one_line(tmp_path, cli):
    (tmp_path / "train.jsonl").write_text(json.dumps(SAME["messages"]) + "\n")
    # in a process of its own: huggingface_hub reads this variable once, and without it tries for most of a minute
    done = cli("data", "check", "train.jsonl", "--model", "nobody/nothing", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "--model nobody/nothing is not a folder here and not in the cache" in done.stderr


@pytest.fixture(scope="module")
def base_model(tmp_path_factory, tiny) -> Path:
    """A folder with the tokenizer of a base model, which has no chat template, and without weights."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = copy.deepcopy(tiny)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_without_a_chat_template_is_one_line_of_the_check_for_chats_alone(
    tmp_path, capsys, base_model
):
    chats, texts = tmp_path / "chats.jsonl", tmp_path / "texts.jsonl"
    chats.write_text(json.dumps(SAME["messages"]) + "\n")
    texts.write_text(json.dumps({"text": "abc"}) + "\n")
    assert main(["data", "check", str(chats), "--model", str(base_model)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"line 1: a chat needs the model's chat template, and {base_model} has none; use" in line
    assert main(["data", "check", str(texts), "--model", str(base_model)]) == 0


def test_a_rank_refuses_chats_for_a_model_without_a_chat_template_before_it_looks_for_weights(
    tmp_path, cli, tiny
):
    """The template was there when the run was launched; without one, the launch refuses."""
    model = tmp_path / "model"
    tiny.save_pretrained(model)
    (model / "config.json").write_text(
        json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
    )
    (model / "model.safetensors").write_bytes(EMPTY_WEIGHTS)
    done = cli("+experiment=tiny", "dry_run=true", "model.init=pretrained", f"model.name_or_path={model}")
    assert done.returncode == 0, done.stderr
    (model / "chat_template.jinja").unlink()
    (plan,) = tmp_path.glob("runs/*/*/plan.json")
    arguments = [*command()[:2], "launcher.train", str(plan.parent)]
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert f"{model} has none; use its instruct version" in done.stderr
