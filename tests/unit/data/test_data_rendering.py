"""What a chat template leaves out of a row, or renders differently than intended, is found and named with its line."""

import json
from pathlib import Path
from typing import Any

import pytest

from launcher.__main__ import main
from launcher.config import Config
from launcher.data.check import CheckOptions, check
from launcher.data.mask import IGNORED, encode, show
from launcher.data.rendering import problems
from launcher.data.template import ChatTemplate
from launcher.data.tokenizer import CHATML, byte_tokenizer
from launcher.errors import DataError
from launcher.launching.data_gate import check_data

TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
LOOP = "{% for m in messages %}" + TURN + "{% endfor %}"
PROMPT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
TOOLS = "{% if tools %}{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}{% endif %}"
SHOWS_THOUGHT = (
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}"
)
SHOWS_CALLS = "{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}"
THOUGHT = LOOP.replace("{{ m.content }}", SHOWS_THOUGHT)
CALLS = LOOP.replace("{{ m.content }}", SHOWS_CALLS)
BARE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
QUIET = {"chat_template_kwargs": {"enable_thinking": False}}
DEFAULT = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a helpful machine.<|im_end|>\n{% endif %}"
    + LOOP
)
CHAT = [{"role": "user", "content": "Is ice cold?"}, {"role": "assistant", "content": "Yes, it is."}]
CALL = {"type": "function", "function": {"name": "tide_table", "arguments": {"port": "Bergen"}}}
CALLED = [
    CHAT[0],
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "6:10"},
    CHAT[1],
]
TOOL = {"type": "function", "function": {"name": "tide_table", "description": "High water", "parameters": {}}}
THINKING = [CHAT[0], {**CHAT[1], "reasoning_content": "Ice is frozen water."}]


def template(text: str) -> ChatTemplate:
    return ChatTemplate(name_or_path="own", chat_template=text, special=(("eos_token", "<|im_end|>"),))


@pytest.mark.parametrize(
    ("text", "example", "found"),
    [
        (LOOP, {"messages": CHAT}, {}),
        (LOOP, {"messages": [CHAT[0], {**CHAT[1], "content": "Yes,\n  it is"}]}, {}),
        (LOOP, {"messages": CALLED, "tools": [TOOL]}, {"not_rendered": "the tools of the row (tide_table)"}),
        (TOOLS + LOOP, {"messages": CALLED, "tools": [TOOL]}, {}),
        (CALLS, {"messages": CALLED}, {}),
        (LOOP + "{# tool_calls #}", {"messages": CALLED}, {"not_rendered": "the call of tide_table of turn 2 (assistant)"}),
        (LOOP, {"messages": THINKING}, {"not_rendered": "reasoning_content of turn 2 (assistant)"}),
        (THOUGHT, {"messages": THINKING}, {}),
        (LOOP.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"),
         {"messages": [{"role": "system", "content": "Be brief."}, *CHAT]}, {"not_rendered": "the content of turn 1 (system)"}),
        (LOOP.replace("m.content", "m.content.split('</think>')[-1]"),
         {"messages": [CHAT[0], {**CHAT[1], "content": "<think>\nhm\n</think>\n\nYes."}]},
         {"not_rendered": "the thought within <think> of turn 2"}),
        (LOOP, {"messages": CHAT, **QUIET},
         {"not_rendered": "chat_template_kwargs.enable_thinking has no effect"}),
        (LOOP + "{{ '' if enable_thinking else '' }}", {"messages": CHAT, **QUIET}, {}),
        (DEFAULT, {"messages": [CHAT[1], *CHAT]}, {"assistant_first": "system You are a helpful machine"}),
        (BARE, {"messages": CHAT}, {"no_end": "does not learn to stop"}),
        (LOOP, {"messages": [{**CHAT[0], "content": "Is <|im_end|> cold?"}, CHAT[1]]}, {"control_token": "holds <|im_end|>"}),
        (LOOP, {"text": "one<|im_end|>two"}, {"control_token": "holds <|im_end|>"}),
        (LOOP, {"text": "one two<|im_end|>"}, {}),
        ("{{ raise_exception('no system here') }}", {"messages": CHAT}, {"template": "refuses the chat (no system here)"}),
        ("{{ messages[0].role + 3 }}", {"messages": CHAT}, {"template": "fails on the chat (TypeError: "}),
        (LOOP + "{{ messages[7].role }}",
         {"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": CHAT[1:]}, {"template": "refuses"}),
    ],
)  # fmt: skip
def test_each_part_of_a_row_is_looked_for_in_its_rendering(text: str, example: Any, found: dict[str, str]):
    seen = problems(example, template(text))
    assert [rule for rule, _ in seen] == list(found), seen
    for (_, message), part in zip(seen, found.values(), strict=True):
        assert part in message


def tokenizer_with(text: str, **more: Any) -> Any:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = text
    for name, value in more.items():
        setattr(tokenizer, name, value)
    return tokenizer


def test_the_light_template_renders_as_transformers_does():
    marked = DEFAULT.replace("{{ m.content }}", "{%- generation %}{{ m.content }}{% endgeneration %}")
    for text in (CHATML, DEFAULT + PROMPT, TOOLS + CALLS, marked):
        tokenizer, light = tokenizer_with(text), template(text)
        for more in ({}, {"tools": [TOOL]}, {"add_generation_prompt": True}):
            shown = tokenizer.apply_chat_template(CALLED, tokenize=False, **more)
            assert light.apply_chat_template(CALLED, tokenize=False, **more) == shown


def test_the_default_system_prompt_before_an_assistants_first_turn_is_not_trained_on():
    tokenizer = tokenizer_with(DEFAULT + PROMPT)
    shown = show(encode({"messages": [CHAT[1], *CHAT]}, tokenizer, True, "here"), tokenizer)
    assert shown.count("[Yes, it is.<|im_end|>]") == 2
    assert shown.index("helpful machine") < shown.index("[")


def merging_tokenizer() -> Any:
    """A tokenizer in which `: Y` is one token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*letters, "ĠY", "ĠYe", "ĠYes"])}
    merges = [("Ġ", "Y"), ("ĠY", "e"), ("ĠYe", "s")]
    tokenizer: Any = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["</s>"])
    text = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% if m.role == 'assistant' %}</s>{% endif %}\n{% endfor %}"
    text += "{% if add_generation_prompt %}assistant: {% endif %}"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", chat_template=text)


def test_a_first_word_that_merges_with_the_prompt_is_trained_on_and_reported(tmp_path):
    tokenizer = merging_tokenizer()
    rows = [{"messages": [CHAT[0], {"role": "assistant", "content": "Yes"}]}]
    encoded = encode(rows[0], tokenizer, True, "here")
    assert show(encoded, tokenizer).endswith("assistant:[ Yes</s>]")
    path = write(tmp_path, rows)
    found = {one.rule: one for one in check(CheckOptions(path=path, tokenizer=tokenizer)).findings}
    assert found["merged_start"].line == 1
    assert "the token ' Yes' holds both" in found["merged_start"].message


def test_a_text_with_its_own_beginning_token_has_it_once():
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_tokenizer()
    tokenizer.bos_token = "<|im_start|>"
    begin = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", begin)]
    )
    for text in ("<|im_start|>one", "one"):
        ids = encode({"text": text}, tokenizer, True, "here")["input_ids"]
        assert ids.count(begin) == 1


def write(folder: Path, rows: list[Any]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_the_check_lists_lines_that_the_template_fails_on_and_continues(tmp_path):
    tokenizer = tokenizer_with(
        LOOP + "{% if messages[0].role == 'system' %}{{ 1 + 'x' }}{% endif %}" + PROMPT
    )
    rows = [{"messages": CHAT}, {"messages": [{"role": "system", "content": "S"}, *CHAT]}, {"messages": CHAT}]
    report = check(CheckOptions(path=write(tmp_path, rows), tokenizer=tokenizer))
    errors = [(one.rule, one.line) for one in report.findings if one.level == "error"]
    assert errors == [("template", 2)]
    assert report.tokens["trained_share"] > 0


def test_rows_behind_the_cut_and_long_texts_are_counted(tmp_path, capsys):
    long = [{"role": "user", "content": "word " * 100}, CHAT[1]]
    path = write(tmp_path, [{"messages": CHAT}, {"messages": long}])
    assert main(["data", "check", str(path), "--model", "tiny", "--max-length", "80"]) == 0
    said = capsys.readouterr().out
    assert "50.0% of the rows are longer than 80 tokens; 1 rows are left out" in said
    assert "line 2: no answer begins within model.max_length=80" in said
    path = write(tmp_path, [{"text": "word " * 100}, {"text": "word"}])
    assert main(["data", "check", str(path), "--model", "tiny", "--max-length", "80"]) == 0
    assert "1 long texts become several rows" in capsys.readouterr().out


def test_a_launch_renders_with_the_template_of_a_local_folder_and_of_the_tiny_model(
    tmp_path, compose, capsys
):
    rows = [{"messages": CHAT, "tools": [TOOL]}, {"messages": [{"role": "system", "content": "S"}, *CHAT]}]
    path = write(tmp_path, rows)
    keys = (
        "+experiment=tiny",
        "cluster=local",
        f"data.path={path}",
        "data.eval_path=null",
        f"cache_dir={tmp_path}/cache",
    )
    config: Config = compose(*keys)
    findings = check_data(config)[0]["findings"]
    assert ("not_rendered", 1) in [(one["rule"], one["line"]) for one in findings]
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    fails = LOOP + "{% if messages[0].role == 'system' %}{{ messages.missing.name }}{% endif %}"
    (folder / "chat_template.jinja").write_text(fails)
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}')
    config = compose(*keys, "model.init=pretrained", f"model.name_or_path={folder}")
    with pytest.raises(DataError, match=r"rows.jsonl, line 2: this model's chat template .*\[template\]"):
        check_data(config)


def test_no_label_is_lost_where_every_token_is_within_an_answer():
    encoded = encode({"messages": CHAT}, byte_tokenizer(), True, "here")
    assert sum(label != IGNORED for label in encoded["labels"]) == len("Yes, it is.") + 1
