"""Public data sets in their own columns: what docs/howto/own_data.md says that they are read as."""

import re
from typing import Any

import pytest

from launcher.data.kinds import kind_of
from launcher.data.read import read_row
from launcher.data.reading import make_reading
from launcher.data.rules import BrokenRow
from launcher.errors import ConfigError
from tests.support.paths import ROOT

ASK, ANSWER = {"role": "user", "content": "Which bird hoots?"}, {"role": "assistant", "content": "The owl."}
WORSE = {"role": "assistant", "content": "No idea."}
CHAT = [ASK, ANSWER]
HUMAN, GPT = {"from": "human", "value": "Which bird hoots?"}, {"from": "gpt", "value": "The owl."}
SAMPLES: dict[str, dict[str, Any]] = {
    "databricks-dolly-15k": {
        "instruction": "Which bird hoots?",
        "context": "",
        "response": "The owl.",
        "category": "open_qa",
    },
    "alpaca": {
        "instruction": "Which bird hoots?",
        "input": "",
        "output": "The owl.",
        "text": "### Instruction: ...",
    },
    "OpenOrca": {"id": "t.1", "system_prompt": "", "question": "Which bird hoots?", "response": "The owl."},
    "SlimOrca": {
        "conversations": [
            {"from": "system", "value": "", "weight": None},
            {**HUMAN, "weight": 0.0},
            {**GPT, "weight": 1.0},
        ]
    },
    "gsm8k": {"question": "Which bird hoots?", "answer": "The owl."},
    "MetaMathQA": {
        "query": "Which bird hoots?",
        "response": "The owl.",
        "type": "MATH_SV",
        "original_question": "?",
    },
    "NuminaMath-CoT": {
        "source": "aops",
        "problem": "Which bird hoots?",
        "solution": "The owl.",
        "messages": CHAT,
    },
    "ultrachat_200k": {"prompt": "Which bird hoots?", "prompt_id": "0f", "messages": CHAT},
    "no_robots": {"prompt": "Which bird hoots?", "prompt_id": "0f", "messages": CHAT, "category": "Open QA"},
    "OpenHermes-2.5": {
        "custom_instruction": None,
        "topic": None,
        "skip_prompt_formatting": False,
        "conversations": [{**HUMAN, "weight": None}, {**GPT, "weight": None}],
        "views": None,
        "system_prompt": None,
        "source": "airoboros",
    },
    "FineTome-100k": {"conversations": [HUMAN, GPT], "source": "infini", "score": 5.2},
    "LDJnr/Capybara": {
        "source": "Airoboros",
        "conversation": [{"input": "Which bird hoots?", "output": "The owl."}],
    },
    "smoltalk": {"messages": CHAT, "source": "smol-magpie"},
    "WildChat": {
        "conversation_hash": "a",
        "model": "m",
        "timestamp": 1,
        "conversation": [{**ASK, "timestamp": 1, "country": "Norway"}, {**ANSWER, "country": None}],
        "turn": 1,
        "toxic": False,
    },
    "glaive-function-calling (ShareGPT)": {
        "conversations": [
            {"from": "human", "value": "Tides?"},
            {"from": "function_call", "value": '{"name": "tides", "arguments": {"port": "Bergen"}}'},
            {"from": "function_call", "value": '{"name": "tides", "arguments": {"port": "Oslo"}}'},
            {"from": "observation", "value": "1"},
            {"from": "observation", "value": "2"},
            GPT,
        ],
        "tools": "[]",
    },
    "hh-rlhf": {
        "chosen": "\n\nHuman: Which bird hoots?\n\nAssistant: The owl.",
        "rejected": "\n\nHuman: Which bird hoots?\n\nAssistant: No idea.",
    },
    "ultrafeedback_binarized": {
        "prompt": "Which bird hoots?",
        "prompt_id": "0f",
        "chosen": CHAT,
        "rejected": [ASK, WORSE],
        "messages": CHAT,
        "score_chosen": 8.0,
        "score_rejected": 2.0,
    },
    "orca_dpo_pairs": {
        "system": "Be short.",
        "question": "Which bird hoots?",
        "chosen": "The owl.",
        "rejected": "No idea.",
    },
    "DPO-En-Zh-20k": {
        "conversations": [HUMAN],
        "chosen": GPT,
        "rejected": {"from": "gpt", "value": "No idea."},
    },
    "orpo-dpo-mix-40k": {
        "source": "s",
        "chosen": CHAT,
        "rejected": [ASK, WORSE],
        "prompt": "Which bird hoots?",
        "question": "Which bird hoots?",
    },
    "SHP": {
        "post_id": "a",
        "domain": "askbaking_train",
        "upvote_ratio": 0.9,
        "history": "Which bird hoots?",
        "c_root_id_A": "b",
        "human_ref_A": "No idea.",
        "human_ref_B": "The owl.",
        "labels": 0,
        "score_A": 3,
        "score_B": 9,
        "score_ratio": 3.0,
    },
    "PKU-SafeRLHF": {
        "prompt": "Which bird hoots?",
        "response_0": "The owl.",
        "response_1": "No idea.",
        "is_response_0_safe": True,
        "is_response_1_safe": True,
        "better_response_id": 0,
        "safer_response_id": 1,
    },
    "HelpSteer2 (preference)": {
        "prompt": "Which bird hoots?",
        "response_1": "No idea.",
        "response_2": "The owl.",
        "preference_strength": 2,
        "preference_statement": "s",
        "split": "train",
    },
    "chatbot_arena_conversations": {
        "question_id": "q",
        "model_a": "a",
        "model_b": "b",
        "winner": "model_a",
        "judge": "j",
        "turn": 1,
        "conversation_a": CHAT,
        "conversation_b": [ASK, WORSE],
    },
    "stack-exchange-paired": {
        "qid": 1,
        "question": "Which bird hoots?",
        "date": "d",
        "response_j": "The owl.",
        "response_k": "No idea.",
    },
    "openbmb/UltraFeedback": {
        "source": "evol_instruct",
        "instruction": "Which bird hoots?",
        "models": ["a", "b", "c"],
        "correct_answers": ["None"],
        "completions": [
            {"model": "a", "response": "A bird.", "overall_score": 9.0, "fine-grained_score": 3.0},
            {"model": "b", "response": "The owl.", "overall_score": 8.0, "fine-grained_score": 4.75},
            {"model": "c", "response": "No idea.", "overall_score": 8.0, "fine-grained_score": 1.5},
        ],
    },
    "argilla/ultrafeedback-binarized-preferences": {
        "source": "s",
        "instruction": "Which bird hoots?",
        "chosen_response": "The owl.",
        "rejected_response": "No idea.",
        "chosen_avg_rating": 4.5,
        "rejected_avg_rating": 2.0,
        "chosen_model": "a",
    },
    "argilla/ultrafeedback-binarized-preferences-cleaned": {
        "source": "s",
        "prompt": "Which bird hoots?",
        "chosen": CHAT,
        "chosen-rating": 5.0,
        "chosen-model": "a",
        "rejected": [ASK, WORSE],
        "rejected-rating": 2.0,
        "rejected-model": "b",
    },
    "xlam-function-calling-60k": {
        "id": 0,
        "query": "Which bird hoots?",
        "answers": '[{"name": "owls", "arguments": {"hoots": true, "limit": 3}}]',
        "tools": '[{"name": "owls", "description": "Birds", "parameters": {"hoots": {"description": "d", "type": "bool"}, '
        '"limit": {"description": "n", "type": "int, optional", "default": "9"}}}]',
    },
    "kto-mix-14k": {"prompt": [ASK], "completion": [ANSWER], "label": True},
    "HelpSteer": {"prompt": "Which bird hoots?", "response": "The owl.", "helpfulness": 4, "verbosity": 1},
    "sql-create-context": {
        "question": "Which bird hoots?",
        "context": "CREATE TABLE birds",
        "answer": "The owl.",
    },
    "DAPO-Math (prompt with a solution)": {"prompt": "Which bird hoots?", "solution": "The owl."},
    "TinyStories": {"text": "Once there was an owl."},
    "fineweb": {"text": "Once there was an owl.", "id": "1", "dump": "CC", "url": "u", "token_count": 6},
}
PAIR = {"prompt": [ASK], "chosen": [ANSWER], "rejected": [WORSE]}


def table() -> dict[str, tuple[str, str]]:
    """Data set -> (format, kind), as the page says."""
    page = (ROOT / "docs" / "howto" / "own_data.md").read_text()
    rows = re.findall(r"^\| ([^|]+?) \| [^|]+ \| `(\w+)` \| (\w+)[^|]*\|", page, re.MULTILINE)
    return {name: (format, kind) for name, format, kind in rows}


def test_the_page_lists_every_sample_and_no_other():
    assert set(table()) == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_public_data_set_is_read_as_the_page_says(name: str):
    found = read_row(SAMPLES[name], make_reading())
    assert (found.format, kind_of(found.example)) == table()[name]
    if kind_of(found.example) == "chat":
        turns = found.example["messages"]
        assert (
            turns[-1]["content"] == ("" if "tool_calls" in turns[-1] else "The owl.")
            and turns[0]["role"] == "user"
        )
    if kind_of(found.example) == "pair":
        without_system = [turn for turn in found.example["prompt"] if turn["role"] != "system"]
        assert {**found.example, "prompt": without_system} == PAIR


DRAWS: list[dict[str, Any]] = [
    {**SAMPLES["HelpSteer2 (preference)"], "preference_strength": 0},
    {**SAMPLES["chatbot_arena_conversations"], "winner": "tie"},
    {**SAMPLES["PKU-SafeRLHF"], "better_response_id": None},
    {"question": {"full_text": "q"}, "answer_0": "a", "answer_1": "b", "score_0": 0.0, "score_1": 0.0},
    {"instruction": "q", "completions": [{"response": text, "overall_score": 2.0} for text in "ab"]},
    {"instruction": "q", "completions": [{"response": "a", "overall_score": "N/A"}]},
    {"instruction": "q", "completions": "none"},
]


@pytest.mark.parametrize("row", DRAWS, ids=lambda row: next(iter(row)))
def test_answers_of_which_none_is_better_are_an_invalid_row(row: dict[str, Any]):
    with pytest.raises(BrokenRow, match=r"on_bad_row=skip|fewer than two|no column says"):
        read_row(row, make_reading())


def test_the_calls_and_tools_of_xlam_become_those_of_a_chat():
    found = read_row(SAMPLES["xlam-function-calling-60k"], make_reading()).example
    assert found["messages"][-1]["tool_calls"][0]["function"]["arguments"] == {"hoots": True, "limit": 3}
    parameters = found["tools"][0]["function"]["parameters"]
    assert parameters["required"] == ["hoots"]
    assert [one["type"] for one in parameters["properties"].values()] == ["boolean", "integer"]
    for wrong in (
        {"answers": "[]"},
        {"answers": "{"},
        {"answers": None},
        {"tools": '["a"]'},
        {"answers": "[1]"},
    ):
        with pytest.raises(BrokenRow):
            read_row({**SAMPLES["xlam-function-calling-60k"], **wrong}, make_reading())


def test_calls_that_follow_each_other_are_parallel_calls_of_one_turn():
    turns = read_row(SAMPLES["glaive-function-calling (ShareGPT)"], make_reading()).example["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool", "tool", "assistant"]
    assert [call["function"]["arguments"]["port"] for call in turns[1]["tool_calls"]] == ["Bergen", "Oslo"]


def test_what_is_left_out_of_a_row_is_named_but_not_what_is_null():
    assert read_row(SAMPLES["OpenHermes-2.5"], make_reading()).dropped == ("skip_prompt_formatting",)
    assert "conversation[].timestamp" in read_row(SAMPLES["WildChat"], make_reading()).dropped
    mathematics = {"problem": "1 + 1?", "solution": "It is 2.", "answer": "2"}
    found = read_row(mathematics, make_reading())
    assert found.example["messages"][-1]["content"] == "It is 2." and found.dropped == ("answer",)


@pytest.mark.parametrize(
    "row",
    [{"text": "[{'role': 'user', 'content': 'x'}]"}, {"prompt": "[{'role': 'user', 'con", "completion": "x"}],
)
def test_text_that_is_a_list_of_turns_is_not_trained_on_as_text(row):
    with pytest.raises(BrokenRow, match="text of a list of turns"):
        read_row(row, make_reading())


@pytest.mark.parametrize(
    "text",
    [
        "[{'role': 'user', 'content': \"It's\"}, {'role': 'assistant', 'content': 'y'}]",
        "[{'content': \"It's\", 'role': 'user'}\n {'content': 'y', 'role': 'assistant'}]",
        "array([{'content': \"It's\", 'role': 'user'}, {'content': 'y', 'role': 'assistant'}], dtype=object)",
        '[{"from": "human", "value": "It\'s"}, {"from": "gpt", "value": "y"}]',
    ],
)
@pytest.mark.parametrize("key", ["messages", "conversations"])
def test_a_list_of_turns_that_arrives_as_text_is_read_as_the_list(key: str, text: str):
    found = read_row({key: text}, make_reading())
    assert [turn["content"] for turn in found.example["messages"]] == ["It's", "y"]
    assert found.as_text


def test_a_text_is_read_as_literals_and_never_run(tmp_path):
    row = {"messages": f"[{{'role': open({str(tmp_path / 'ran')!r}, 'w')}}]"}
    with pytest.raises(BrokenRow):
        read_row(row, make_reading())
    assert not list(tmp_path.iterdir())


def test_columns_drop_and_keep_name_what_is_read():
    row = {"frage": "Which bird hoots?", "antwort": "The owl.", "prompt": "other", "noise": 1}
    found = read_row(row, make_reading(columns={"prompt": "frage", "completion": "antwort"}, drop=["noise"]))
    assert [turn["content"] for turn in found.example["messages"]] == ["Which bird hoots?", "The owl."]
    assert found.dropped == ("prompt",)
    kept = read_row({**SAMPLES["alpaca"], "text": "x"}, make_reading(keep=["instruction", "output"]))
    assert kept.dropped == ()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": {"promt": "q"}}, "did you mean prompt"),
        ({"columns": {"question_text": "prompt"}}, r"write data.columns=\{prompt: question_text\}"),
        ({"columns": {"prompt": "q", "completion": "q"}}, "given for prompt and for completion"),
        ({"drop": ["q"], "keep": ["q"]}, "take it out of one"),
        ({"max_bad_share": 1.5}, "must be at least 0 and below 1"),
    ],
)
def test_a_reading_that_cannot_be_meant_is_refused(options, said: str):
    with pytest.raises(ConfigError, match=said):
        make_reading(**options)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"mesages": []}, r"did you mean messages\? Rename mesages"),
        ({"dialogue": []}, r"data.columns=\{messages: dialogue\}"),
        ({"content": "x"}, r"data.columns=\{text: content\}"),
        ({"request": "x", "result": "y"}, r"data.columns=\{prompt: request, completion: result\}"),
        ({"post": "x", "better": "y", "worse": "z"}, r"\{prompt: post, chosen: better, rejected: worse\}"),
        ({"a": 1}, "no format has the keys a"),
    ],
)
def test_the_error_for_a_row_of_no_format_names_the_nearest_meaning(row, said: str):
    with pytest.raises(BrokenRow, match=said):
        read_row(row, make_reading())
