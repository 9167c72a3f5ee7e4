"""Formats of rows: read into the common form, and written as any other format that can hold them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.__main__ import main
from launcher.data.convert import targets, write_row
from launcher.data.examples import read_examples
from launcher.data.findings import RULES, BrokenRow
from launcher.data.kinds import kind_of
from launcher.data.read import detect, read_example
from launcher.formats.registry import FORMATS, known_formats
from tests.support.paths import ROOT

SAID = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
TURNS = {
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    ]
}
CHAT_FORMATS = ("messages", "openai", "sharegpt", "prompt_completion", "alpaca", "input_output")
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
WITH_TOOLS = {
    "messages": [
        {"role": "user", "content": "Weather?", "name": "Ann"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
        {"role": "assistant", "content": "Sunny."},
    ],
    "tools": [{"type": "function", "function": {"name": "weather"}}],
}
EXAMPLES = {
    "messages": TURNS,
    "sharegpt": {
        "conversations": [
            {"from": "system", "value": "Be short."},
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "Hello"},
        ]
    },
    "alpaca": {"instruction": "Hi", "input": "", "output": "Hello", "system": "Be short."},
    "input_output": {"input": "Hi", "output": "Hello", "systemPrompt": "Be short."},
}


def common(row: dict) -> dict:
    return read_example(row)[1]


@pytest.mark.parametrize(("name", "row"), EXAMPLES.items())
def test_each_chat_format_is_recognised_by_its_keys_and_read_as_turns(name: str, row: dict):
    assert detect(row) == name
    assert common(row) == TURNS


def test_a_transcript_whose_answer_is_the_completion_is_split_into_turns(tmp_path):
    file = tmp_path / "transcript.jsonl"
    prompt = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: What is 1+1?\n\nAssistant:"
    other = "Human: a person. Assistant: a helper. Define both."
    rows = [{"prompt": prompt, "completion": " Two."}, {"prompt": other, "completion": "Done."}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    split, plain = (example["messages"] for _, example in read_examples(file))
    assert [(turn["role"], turn["content"]) for turn in split] == [
        ("user", "Hi"), ("assistant", "Yes?"), ("user", "What is 1+1?"), ("assistant", "Two."),
    ]  # fmt: skip
    assert split[1]["weight"] == 0
    assert plain[0]["content"] == other


def test_a_damaged_transcript_is_refused_under_its_own_key():
    row = {"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": " Yes", "rejected": "Human: Assistant:"}
    with pytest.raises(BrokenRow, match="rejected is not a transcript"):
        read_example(row)


def test_the_guide_has_every_rule_with_its_reason():
    page = (ROOT / "docs" / "guide" / "data.md").read_text()
    listed = [
        line
        for line in page.splitlines()
        if line.startswith("| `") and line.split(" | ")[1:2] in (["error"], ["warning"])
    ]
    assert listed == [f"| `{name}` | {rule.level} | {rule.reason} |" for name, rule in RULES.items()]


def test_a_prompt_and_its_completion_are_a_question_and_an_answer():
    assert common({"prompt": "Hi", "completion": "Hello"}) == {"messages": TURNS["messages"][1:]}


def test_an_alpaca_input_stands_below_its_instruction():
    row = {"instruction": "Translate.", "input": "Haus", "output": "house"}
    assert common(row)["messages"][0]["content"] == "Translate.\n\nHaus"


@given(
    st.lists(st.tuples(SAID, SAID), min_size=1, max_size=3), st.none() | SAID, st.sampled_from(CHAT_FORMATS)
)
def test_a_chat_comes_back_from_every_format_that_holds_it(pairs, system: str | None, name: str):
    turns = [{"role": "system", "content": system}] if system else []
    for question, answer in pairs:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    chat = {"messages": turns}
    if len(pairs) > 1 and name in ("input_output", "prompt_completion"):
        with pytest.raises(BrokenRow):
            write_row(chat, name)
        return
    assert common(write_row(chat, name)) == chat or name == "prompt_completion"
    trained = [
        turn["content"] for turn in common(write_row(chat, name))["messages"] if turn["role"] == "assistant"
    ]
    assert trained == [answer for _, answer in pairs]


@given(SAID, SAID, SAID)
def test_a_pair_comes_back_from_preference(prompt: str, chosen: str, rejected: str):
    row = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    assert write_row(common(row), "preference") == row


def test_pairs_of_turns_without_a_prompt_have_their_common_turns_for_one():
    ask = [{"role": "user", "content": "Hi"}]
    row = {name: [*ask, {"role": "assistant", "content": name}] for name in ("chosen", "rejected")}
    assert common(row)["prompt"] == ask
    assert common(row)["rejected"] == [{"role": "assistant", "content": "rejected"}]


def test_openais_preference_rows_are_pairs():
    row = {
        "input": {"messages": TURNS["messages"][:2]},
        "preferred_output": [{"role": "assistant", "content": "Hello"}],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    }
    assert common(row)["chosen"] == [{"role": "assistant", "content": "Hello"}]


@pytest.mark.parametrize("name", ["messages", "openai"])
def test_tool_calls_come_back_with_their_arguments(name: str):
    assert common(write_row(WITH_TOOLS, name)) == WITH_TOOLS


def test_openai_has_null_content_beside_tool_calls_and_arguments_as_a_string():
    turn = write_row(WITH_TOOLS, "openai")["messages"][1]
    assert turn["content"] is None
    assert turn["tool_calls"][0]["function"]["arguments"] == '{"city": "Rome"}'


def test_a_sharegpt_function_call_is_a_tool_call():
    call = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    row = write_row({"messages": [{"role": "user", "content": "x"}, call]}, "sharegpt")
    assert row["conversations"][1]["from"] == "function_call"
    assert common(row)["messages"][1]["tool_calls"][0]["function"] == CALL["function"]


@pytest.mark.parametrize("name", ["alpaca", "input_output", "prompt_completion", "preference"])
def test_what_a_format_cannot_hold_is_refused_with_a_format_that_can(name: str):
    with pytest.raises(BrokenRow, match=r"use --to messages|only pairs|weight 0"):
        write_row(WITH_TOOLS, name)


def test_parts_of_text_are_one_text():
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": parts}]}
    assert common(row)["messages"][1]["content"] == "Hello"


@pytest.mark.parametrize("weight", [0, 1])
def test_a_weight_is_kept_and_written(weight: int):
    chat = {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "x", "weight": weight},
        ]
    }
    assert all(common(write_row(chat, name)) == chat for name in ("messages", "openai", "sharegpt"))


def test_the_answers_in_a_prompt_are_not_trained_on():
    ask = [*TURNS["messages"], {"role": "user", "content": "More"}]
    turns = common({"prompt": ask, "completion": [{"role": "assistant", "content": "Well."}]})["messages"]
    assert [turn.get("weight", 1) for turn in turns if turn["role"] == "assistant"] == [0, 1]


USER, ANSWER = {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}
WRONG = {
    "not_object": [[], "x", 3, None],
    "format": [{}, {"a": 1}, {"chosen": "a", "rejected": "b"}, {"prompt": None, "completion": "x"}],
    "unknown_key": [
        {"instruction": "x", "output": "y", "imput": "z"},
        {"messages": [{**USER, "wieght": 1}, ANSWER]},
    ],
    "type": [
        {"messages": {}},
        {"messages": [3]},
        {"messages": [{"role": "user", "content": 3}]},
        {"messages": [{"role": "user", "content": None}, ANSWER]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ANSWER]},
        {"messages": [{**USER, "name": 3}, ANSWER]},
        {"messages": [USER, {**ANSWER, "tool_calls": "x"}]},
        {"messages": [USER, ANSWER], "tools": 3},
        {"instruction": 3, "output": "x"},
        {"text": 3},
        {"conversations": "x"},
    ],
    "role": [
        {"messages": [{"role": "robot", "content": "x"}]},
        {"conversations": [{"from": "robot", "value": "x"}]},
    ],
    "role_order": [
        {"messages": [USER, USER, ANSWER]},
        {"messages": [USER, ANSWER, ANSWER]},
        {"messages": [USER, {"role": "system", "content": "x"}, ANSWER]},
        {"messages": [{"role": "system", "content": "x"}, ANSWER]},
        {"messages": [USER, {"role": "tool", "content": "x"}, ANSWER]},
        {"messages": [USER, ANSWER, USER]},
    ],
    "empty": [
        {"messages": []},
        {"messages": [{"role": "user", "content": " \n"}, ANSWER]},
        {"input": "x", "output": ""},
        {"text": ""},
    ],
    "weight": [
        {"messages": [USER, {**ANSWER, "weight": 2}]},
        {"messages": [USER, {**ANSWER, "weight": 0.5}]},
        {"messages": [USER, {**ANSWER, "weight": True}]},
        {"messages": [{**USER, "weight": 1}, ANSWER]},
    ],
    "tool_call": [
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"function": {}}]}]},
        {
            "messages": [
                USER,
                {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]},
            ]
        },
        {"messages": [{**USER, "tool_calls": [CALL]}, ANSWER]},
    ],
    "no_answer": [{"messages": [USER]}],
    "label": [{"prompt": "x", "completion": "y", "label": label} for label in ("good", 2, None, 0.5)],
    "class": [
        *({"text": "x", "label": label} for label in (None, " ", 0.5, {"a": 1}, "y" * 201, ["a", "a"])),
        {"text": "x", "label": "a", "labels": ["b"]},
        {"messages": [USER], "label": None},
    ],
}


@pytest.mark.parametrize(("rule", "row"), [(rule, row) for rule, rows in WRONG.items() for row in rows])
def test_a_wrong_row_breaks_its_rule(rule: str, row: object):
    with pytest.raises(BrokenRow) as refused:
        read_example(row)
    assert refused.value.rule == rule
    assert "\n" not in refused.value.message


def test_every_rule_of_a_row_has_a_wrong_row_here():
    of_files = {
        "not_utf8",
        "nul_bytes",
        "duplicate_key",
        "not_json",
        "too_many_bad",
        "no_rows",
        "nothing_trained",
        "everything_trained",
        "one_class",
        "template",  # of a row and a model
    }
    assert {name for name, rule in RULES.items() if rule.level == "error"} - of_files == set(WRONG)


WORDS = [
    *"abc",
    "messages",
    "role",
    "content",
    "weight",
    "tool_calls",
    "function",
    "name",
    "prompt",
    "completion",
    "text",
]
LEAVES = st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", "user", "assistant"])
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["auto", *known_formats().formats]))
def test_any_json_is_read_or_breaks_a_rule(value, asked: str):
    try:
        read_example(value, asked)
    except BrokenRow as refused:
        assert refused.rule in RULES


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    path = tmp_path / "chats.jsonl"
    rows = [
        {"messages": [{"role": "user", "content": f"Hi {n}"}, {"role": "assistant", "content": "a\nb"}]}
        for n in range(3)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "to",
    [
        name
        for name in targets()
        if name
        not in (
            "preference",
            "human_assistant",
            "compared",
            "function_calls",
            "kto_tag",
            "labelled",
            "prompt",
            "text",
            "segments",
        )
        and not name.endswith("_label")
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_a_file_comes_back_through_every_format_and_storage(chats, tmp_path, capsys, to: str, suffix: str):
    between, back = tmp_path / f"between.{suffix}", tmp_path / "back.jsonl"
    assert main(["data", "convert", str(chats), str(between), "--to", to]) == 0
    assert main(["data", "convert", str(between), str(back), "--to", "alpaca"]) == 0
    assert main(["data", "convert", str(back), str(tmp_path / "again.jsonl"), "--to", "messages"]) == 0
    assert (tmp_path / "again.jsonl").read_text() == chats.read_text()


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
@pytest.mark.parametrize(
    ("to", "row"),
    [
        ("labelled", {"prompt": "Hi", "completion": "Hello", "label": False}),
        ("prompt", {"prompt": "Hi", "answer": "Hello"}),
        ("text_label", {"text": "Where is it?", "label": "late"}),
        ("text_label", {"text": "Where is it?", "labels": ["late", "lost"]}),
        ("chat_label", {"messages": [{"role": "user", "content": "Where?"}], "label": "late"}),
    ],
)
def test_labelled_answers_and_prompts_come_back_through_every_storage(
    tmp_path, to: str, row: dict, suffix: str
):
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(row)}\n")
    between, back = tmp_path / f"between.{suffix}", tmp_path / "back.jsonl"
    assert main(["data", "convert", str(tmp_path / "rows.jsonl"), str(between), "--to", to]) == 0
    assert main(["data", "convert", str(between), str(back), "--to", to]) == 0
    assert back.read_text() == f"{json.dumps(row)}\n"


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_column_that_only_a_later_prompt_has_is_written(tmp_path, suffix: str):
    rows = (
        '{"prompt": "Hi"}\n{"prompt": "2+2?", "answer": "4"}\n{"prompt": "Capital?", "reference": "Rome"}\n'
    )
    (tmp_path / "rows.jsonl").write_text(rows)
    between, back = tmp_path / f"between.{suffix}", tmp_path / "back.jsonl"
    assert main(["data", "convert", str(tmp_path / "rows.jsonl"), str(between), "--to", "prompt"]) == 0
    assert main(["data", "convert", str(between), str(back), "--to", "prompt"]) == 0
    assert back.read_text() == rows


@pytest.mark.parametrize("name", ["out.txt", "out", "out.CSV"])
def test_a_name_that_does_not_say_how_rows_are_kept_is_refused(chats, tmp_path, capsys, name: str):
    assert main(["data", "convert", str(chats), str(tmp_path / name), "--to", "text"]) == 1
    assert "end it in .jsonl, .json, .csv, .tsv or .parquet" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


def test_a_chat_becomes_a_prompt_with_its_last_answer_beside_it():
    assert write_row(TURNS, "prompt") == {"prompt": TURNS["messages"][:2], "answer": "Hello"}


def test_tools_are_not_written_beside_a_prompt_that_cannot_hold_them():
    with pytest.raises(BrokenRow, match="remove tools from the row"):
        write_row(common(WITH_TOOLS), "prompt")


def test_a_bad_answer_is_not_written_as_something_to_learn():
    bad = common({"prompt": "Hi", "completion": "Hello", "label": False})
    with pytest.raises(BrokenRow, match="use --to labelled"):
        write_row(bad, "messages")


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"question": "Hi", "answer": "Hello"}, "messages"),
        ({"question": "Hi", "chosen": "Hello", "rejected": "What?"}, "preference"),
        ({"instruction": "Hi", "output": "Hello", "kto_tag": True}, "labelled"),
        ({"text": "Hi"}, "text"),
        ({"prompt": "Hi"}, "prompt"),
        ({"text": "Hi", "label": "greeting"}, "text_label"),
        ({"messages": [{"role": "user", "content": "Hi"}], "label": "greeting"}, "chat_label"),
    ],
)
def test_rows_are_written_in_the_usual_format_of_their_kind_if_none_is_named(
    tmp_path, capsys, row, name: str
):
    source, target = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps(row) + "\n")
    assert main(["data", "convert", str(source), str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["to"] == name
    assert read_example(json.loads(target.read_text()))[0] == name


def test_nothing_is_overwritten_without_force(chats, tmp_path, capsys):
    target = tmp_path / "out.jsonl"
    target.write_text("mine")
    assert main(["data", "convert", str(chats), str(target), "--to", "openai"]) == 1
    assert target.read_text() == "mine"
    assert "give --force" in capsys.readouterr().err
    assert main(["data", "convert", str(chats), str(target), "--to", "openai", "--force"]) == 0


def test_a_file_is_not_written_onto_itself(chats, capsys):
    before = chats.read_text()
    assert main(["data", "convert", str(chats), str(chats), "--to", "openai", "--force"]) == 1
    assert chats.read_text() == before


def test_a_wrong_row_stops_a_conversion_with_its_line_and_leaves_nothing(chats, tmp_path, capsys):
    chats.write_text(chats.read_text() + '\n{"messages": []}\n')
    before = sorted(tmp_path.iterdir())
    assert main(["data", "convert", str(chats), str(tmp_path / "out.jsonl"), "--to", "openai"]) == 1
    assert "chats.jsonl, line 5: messages is an empty list" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_rejected_answers_that_are_left_out_are_counted(tmp_path, capsys):
    (tmp_path / "in.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    assert (
        main(
            [
                "data",
                "convert",
                str(tmp_path / "in.jsonl"),
                str(tmp_path / "out.jsonl"),
                "--to",
                "messages",
                "--json",
            ]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["rejected_left_out"] == 1


@pytest.mark.parametrize("name", FORMATS.own_names())
def test_the_example_of_every_format_is_detected_and_comes_back(name: str):
    one = FORMATS.find(name)
    assert detect(dict(one.example)) == name
    _, example = read_example(dict(one.example))
    assert kind_of(example) == one.kind and one.kind in one.writes
    assert common(write_row(example, name)) == example


def test_the_documentation_has_a_line_for_every_format():
    said = (ROOT / "docs" / "guide" / "data.md").read_text()
    for name in FORMATS.own_names():
        one = FORMATS.find(name)
        assert f"| `{name}` | {one.shape} | {one.kind}{one.note} |" in said
