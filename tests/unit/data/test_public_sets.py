"""Public data sets in their own columns: what docs/howto/own_data.md says that they are read as."""

import json
import re
import shlex
import shutil
import subprocess
from typing import Any

import pytest

from launcher.data.findings import BrokenRow
from launcher.data.kinds import kind_of
from launcher.data.read import read_row
from launcher.data.reading import make_reading
from launcher.data.transcript import is_chat
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
    "LIMA": {"conversations": ["Which bird hoots?", "The owl."], "source": "stackexchange"},
    "ShareGPT52K": {
        "id": "x_0",
        "conversations": [{**HUMAN, "from": "Human"}, {"from": "bard", "value": "The owl."}],
    },
    "UltraChat (as published)": {"id": "0", "data": ["Which bird hoots?", "The owl."]},
    "oasst1, oasst2 (*.trees.jsonl.gz)": {
        "message_tree_id": "a",
        "tree_state": "ready_for_export",
        "prompt": {
            "role": "prompter",
            "text": "Which bird hoots?",
            "replies": [
                {"role": "assistant", "text": "No idea.", "rank": 1, "replies": []},
                {
                    "role": "assistant",
                    "text": "The owl.",
                    "rank": 0,
                    "replies": [{"role": "prompter", "text": "Why?"}],
                },
            ],
        },
    },
    "squad": {
        "id": "5",
        "title": "Owls",
        "context": "Owls hoot.",
        "question": "Which bird hoots?",
        "answers": {"text": ["The owl.", "Owls"], "answer_start": [0, 0]},
    },
    "CodeAlpaca-20k": {"instruction": "Which bird hoots?", "input": "", "output": "The owl."},
    "orca-math-word-problems-200k": {"question": "Which bird hoots?", "answer": "The owl."},
    "OpenMathInstruct-2": {
        "problem": "Which bird hoots?",
        "generated_solution": "The owl.",
        "expected_answer": "owl",
        "problem_source": "math",
    },
    "Magpie-Pro": {
        "uuid": "1",
        "instruction": "Which bird hoots?",
        "response": "The owl.",
        "conversations": [HUMAN, GPT],
        "instruct_reward": -3.2,
    },
    "tulu-3-sft-mixture": {"id": "t", "messages": CHAT, "source": "ai2"},
    "aya_dataset": {
        "inputs": "Which bird hoots?",
        "targets": "The owl.",
        "language": "English",
        "annotation_type": "original-annotations",
    },
    "xP3": {"inputs": "Which bird hoots?", "targets": "The owl."},
    "FLAN": {
        "inputs": "Which bird hoots?",
        "targets": "The owl.",
        "task_name": "t",
        "_template_type": "zs_opt",
    },
    "natural-instructions": {
        "definition": "Answer the question.",
        "inputs": "Which bird hoots?",
        "targets": "The owl.",
        "task_name": "t",
    },
    "lmsys-chat-1m": {
        "conversation_id": "1",
        "model": "m",
        "conversation": CHAT,
        "turn": 1,
        "redacted": False,
    },
    "glaive-function-calling-v2": {
        "system": "SYSTEM: You are kind, with no access to external functions.",
        "chat": "USER: Which bird hoots?\n\n\nASSISTANT: The owl. <|endoftext|>\n\n\n",
    },
    "ToolACE": {
        "system": "You call functions.",
        "conversations": [
            {"from": "user", "value": "Which bird hoots?"},
            {"from": "assistant", "value": "[birds(sound='hoot')]"},
            {"from": "tool", "value": "owl"},
            {"from": "assistant", "value": "The owl."},
        ],
    },
    "Llama-Nemotron-Post-Training-Dataset": {
        "input": [ASK],
        "output": "The owl.",
        "reasoning": "off",
        "system_prompt": "",
    },
    "Nectar": {
        "prompt": "\n\nHuman: Which bird hoots?\n\nAssistant: ",
        "answers": [
            {"answer": "A bird.", "model": "b", "rank": 3.0},
            {"answer": "The owl.", "model": "a", "rank": 1.0},
            {"answer": "No idea.", "model": "c", "rank": 7.0},
        ],
        "turns": 1,
        "num_responses": 3,
    },
    "HelpSteer3 (preference)": {
        "domain": "general",
        "context": [ASK],
        "response1": "The owl.",
        "response2": "No idea.",
        "overall_preference": -2,
        "individual_preference": [{"score": -2}],
    },
    "Capybara-Preferences": {
        "conversation": [{"input": "Which bird hoots?", "output": "The owl."}],
        "original_response": "No idea.",
        "chosen": CHAT,
        "rejected": [ASK, WORSE],
        "rating_chosen": 5,
    },
    "UltraInteract_pair": {
        "task": "Logic",
        "trajectory": [{"from": "user", "value": "Which bird hoots?"}],
        "chosen": "The owl.",
        "rejected": "No idea.",
        "parent_id": "p",
    },
    "c4": {"text": "Once there was an owl.", "timestamp": "2019", "url": "u"},
    "TinyStories": {"text": "Once there was an owl."},
    "fineweb": {"text": "Once there was an owl.", "id": "1", "dump": "CC", "url": "u", "token_count": 6},
}
FOR_OTHER_ENDS: dict[str, tuple[dict[str, Any], str, dict[str, Any] | None]] = {
    "boolq": (
        {"question": "Do owls hoot?", "answer": True, "passage": "Owls hoot."},
        "answer is true or false, not a text",
        {"prompt": "Owls hoot.\n\nDo owls hoot?", "completion": "yes"},
    ),
    "mmlu": (
        {"question": "Which hoots?", "subject": "birds", "choices": ["gull", "owl"], "answer": 1},
        "a question of an exam",
        {"prompt": "Which hoots?\ngull\nowl", "completion": "owl"},
    ),
    "MMLU-Pro": (
        {"question": "Which hoots?", "options": ["gull", "owl"], "answer": "B", "answer_index": 1},
        "a question of an exam",
        {"prompt": "Which hoots?\ngull\nowl", "completion": "owl"},
    ),
    "ARC": (
        {"question": "Which hoots?", "choices": {"text": ["gull", "owl"], "label": ["1", "2"]}, "answerKey": "2"},
        "a question of an exam",
        {"prompt": "Which hoots?\ngull\nowl", "completion": "owl"},
    ),
    "MOSS-003": (
        {
            "meta_instruction": "Be kind.",
            "chat": {
                f"turn_{n}": {"Human": f"<|Human|>: q{n}<eoh>\n", "Commands": "None", "MOSS": f"<|MOSS|>: a{n}<eom>\n"}
                for n in (1, 2)
            },
        },
        "the turns of MOSS by number",
        {
            "messages": [
                {"role": "user", "content": "q1"}, {"role": "assistant", "content": "a1"},
                {"role": "user", "content": "q2"}, {"role": "assistant", "content": "a2"},
            ]
        },
    ),
    "prm800k": (
        {
            "is_quality_control_question": False,
            "question": {"problem": "p", "ground_truth_solution": "s"},
            "label": {"steps": []},
        },
        "data.columns={prompt: question.problem, completion: question.ground_truth_solution}",
        None,
    ),
    "prm800k of trl": ({"prompt": "p", "completions": ["a"], "labels": [True]}, "process reward model", None),
    "wmt": (
        {"translation": {"en": "owl", "de": "Eule"}},
        "data.columns={prompt: translation.en, completion: translation.de}",
        None,
    ),
    "SQuAD of its authors": (
        {
            "title": "Owls",
            "paragraphs": [
                {
                    "context": "Owls hoot.",
                    "qas": [
                        {"id": "1", "question": "Who hoots?", "answers": [{"text": "owls", "answer_start": 0}]},
                        {"id": "2", "question": "Who sings?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        },
        "a row for each that has an answer",
        {"context": "Owls hoot.", "question": "Who hoots?", "answer": "owls"},
    ),
    "an export of ChatGPT": (
        {
            "title": "Owls",
            "mapping": {
                "root": {"id": "root", "message": None},
                "a": {"message": {"author": {"role": "system"}, "content": {"content_type": "text", "parts": [""]}}},
                "b": {"message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["q", {}]}}},
                "c": {"message": {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["a"]}}},
            },
        },
        "an export of ChatGPT",
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    ),
    "a log of an API": (
        {"request": {"messages": [ASK]}, "response": {"id": "1", "choices": [{"index": 0, "message": ANSWER}]}},
        "a logged call",
        None,
    ),
    "answers of a batch": (
        {"custom_id": "1", "response": {"body": {"choices": [{"message": ANSWER}]}}},
        "jq -cn --slurpfile asked IN.jsonl --slurpfile said OUT.jsonl '",
        None,
    ),
    "questions of a batch": (
        {"custom_id": "1", "method": "POST", "body": {"model": "m", "messages": [ASK]}},
        "the questions of a batch are in one file",
        None,
    ),
    "MOSS-002": (
        {"plain_text": "[Human]: q<eoh> [MOSS]: a<eoa> ", "prefix": "Be kind."},
        "data.columns={transcript: plain_text}",
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOR_OTHER_ENDS)
def test_a_set_that_no_method_learns_from_is_refused_with_a_way_on_that_works(name: str):
    row, said, wanted = FOR_OTHER_ENDS[name]
    with pytest.raises(BrokenRow) as refused:
        read_row(row, make_reading())
    assert said in refused.value.message
    if wanted is not None:
        program = shlex.split(refused.value.message.partition("jq -c ")[2])[0]
        assert f"'{program}' OLD.jsonl > NEW.jsonl" in refused.value.message
        if jq := shutil.which("jq"):
            done = subprocess.run([jq, "-c", program], input=json.dumps(row), capture_output=True, text=True)
            assert json.loads(done.stdout) == wanted, done.stderr
        read_row(wanted, make_reading())
    for columns in re.findall(r"data\.columns=\{(.*?)\}", refused.value.message):
        named = dict(one.split(": ") for one in columns.split(", "))
        assert read_row(row, make_reading(columns=named, drop=["label"])).example


def test_a_hint_is_given_only_where_the_meaning_is_near():
    for word in ("story", "date", "level", "chart", "test", "score"):
        row = {"instruction": "Which bird hoots?", "output": "The owl.", word: "x"}
        assert read_row(row, make_reading()).dropped == (word,)
    truthful = {"question": "q", "best_answer": "a", "correct_answers": ["a"]}
    assert read_row(truthful, make_reading()).dropped == ("correct_answers",)
    with pytest.raises(BrokenRow, match="did you mean output"):
        read_row({"instruction": "q", "outputt": "a"}, make_reading())
    with pytest.raises(BrokenRow, match=r"name them with data\.columns"):
        read_row({"question": "q", "final_result": 3}, make_reading())


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"Frage": "q", "Antwort": "a"}, {"prompt": "Frage", "completion": "Antwort"}),
        ({"Subject": "s", "Body": "q", "Response": "a"}, {"prompt": "Body", "completion": "Response"}),
        ({"ID": 1, "Description": "q", "Reply": "a"}, {"prompt": "Description", "completion": "Reply"}),
        ({"input": [ASK], "expectedOutput": ANSWER}, {"prompt": "input", "completion": "expectedOutput"}),
        ({"Data": {"Turns": CHAT}}, {"messages": "Data.Turns"}),
        ({"Sentence": "Owls hoot."}, {"text": "Sentence"}),
    ],
)
def test_the_columns_that_an_error_names_are_those_of_the_row_and_read_it(
    row: dict[str, Any], columns: dict[str, str]
):
    with pytest.raises(BrokenRow) as refused:
        read_row(row, make_reading())
    named = re.findall(r"data\.columns=\{(.*?)\}", refused.value.message)
    assert dict(one.split(": ") for one in named[-1].split(", ")) == columns
    assert read_row(row, make_reading(columns=columns)).example


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
        assert turns[-1]["content"] == ("" if "tool_calls" in turns[-1] else "The owl.") and turns[0][
            "role"
        ] in ("user", "system")
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
    ("row", "columns", "asked", "said"),
    [
        ({"translation": {"de": "Eule", "en": "owl"}}, ("translation.de", "translation.en"), "Eule", "owl"),
        ({"question": "q", "answer": ["owl", "owls"]}, ("question", "answer.0"), "q", "owl"),
        ({"question": "q", "answer": "['owl', 'owls']"}, ("question", "answer.1"), "q", "owls"),
        (
            {"messages": [{"role": "user", "content": "q"}], "answer": "owl"},
            ("messages", "answer"),
            "q",
            "owl",
        ),
    ],
)
def test_a_place_within_a_column_is_named_with_dots(row, columns, asked: str, said: str):
    reading = make_reading(columns=dict(zip(("prompt", "completion"), columns, strict=True)))
    found = read_row(row, reading)
    assert [turn["content"] for turn in found.example["messages"]] == [asked, said] and found.dropped == ()


def test_columns_within_a_struct_are_named_in_errors():
    with pytest.raises(BrokenRow, match=r"pair\.de, pair\.en"):
        read_row({"pair": {"de": "Eule", "en": "owl"}}, make_reading())
    with pytest.raises(BrokenRow, match=r"has no translation\.fr; its keys are translation\.de"):
        read_row({"translation": {"de": "x"}}, make_reading(columns={"prompt": "translation.fr"}))
    with pytest.raises(
        BrokenRow, match=r"an object of aliases, value.*data\.columns=\{answer: answer\.value\}"
    ):
        read_row({"question": "q", "answer": {"aliases": [], "value": "owl"}}, make_reading())


TRANSCRIPTS = [
    "Human: Hi\n\nAssistant: Hello",
    "Human: Hi Assistant: Hello",
    "USER: Hi ASSISTANT: Hello</s>",
    "### Human: Hi### Assistant: Hello",
    "Below is an instruction that describes a task.\n\n### Instruction:\nHi\n\n### Response:\nHello",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n",
    "<s>[INST] Hi [/INST] Hello </s>",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello",
    "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>",
    "<|user|>\nHi</s>\n<|assistant|>\nHello</s>",
    "Question: Hi\nAnswer: Hello",
]


@pytest.mark.parametrize("text", TRANSCRIPTS)
def test_a_chat_as_one_text_is_reported_and_can_be_split(text: str):
    assert is_chat(text)
    turns = read_row({"text": text}, make_reading(columns={"transcript": "text"})).example["messages"]
    assert turns == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.mark.parametrize(
    "text", ["The user: a study.", "# Answers\n\nAnswer: x", "Human: all too human", "Q: what is asked"]
)
def test_prose_is_not_a_chat(text: str):
    assert not is_chat(text)


def test_a_text_that_begins_with_a_million_spaces_is_looked_at_in_one_pass():
    assert not is_chat(" " * 1_000_000 + "x")  # a backtracking pattern would need hours
    assert is_chat(" " * 1_000_000 + "<s> <bos> Human: Hi\n\nAssistant: Hello")


def test_an_input_stands_below_its_instruction_and_a_preamble_is_a_system_prompt():
    alpaca = "### Instruction:\nTranslate.\n\n### Input:\nHaus\n\n### Response:\nhouse"
    llama = "[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] And? [/INST] Bye </s>"
    said = [
        [turn["content"] for turn in read_row({"transcript": text}, make_reading()).example["messages"]]
        for text in (alpaca, llama, "A chat with a kind model. USER: Hi ASSISTANT: Hello")
    ]
    assert said == [
        ["Translate.\n\nHaus", "house"],
        ["Be kind.", "Hi", "Hello", "And?", "Bye"],
        ["A chat with a kind model.", "Hi", "Hello"],
    ]


def test_a_speaker_is_known_by_any_case_and_the_others_by_data_roles():
    for asker, answerer in (("Human", "GPT"), ("prompter", "ASSISTANT"), ("User", "bing")):
        row = {"conversations": [{"from": asker, "value": "q"}, {"from": answerer, "value": "a"}]}
        assert [turn["role"] for turn in read_row(row, make_reading()).example["messages"]] == [
            "user",
            "assistant",
        ]
        row = {"messages": [{"role": asker, "content": "q"}, {"role": answerer, "content": "a"}]}
        assert [turn["role"] for turn in read_row(row, make_reading()).example["messages"]] == [
            "user",
            "assistant",
        ]
    odd = {"messages": [{"speaker": "Bea", "text": "q"}, {"speaker": "shop", "text": "a"}]}
    with pytest.raises(BrokenRow, match=r"data\.roles=\{Bea: user\}"):
        read_row(odd, make_reading())
    known = read_row(odd, make_reading(roles={"Bea": "user", "shop": "assistant"})).example["messages"]
    assert known == [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def test_openais_older_functions_are_tools():
    row = {"messages": CHAT, "functions": [{"name": "owls", "parameters": {}}]}
    assert read_row(row, make_reading()).example["tools"] == [
        {"type": "function", "function": {"name": "owls", "parameters": {}}}
    ]


def test_glaives_functions_and_calls_become_tools_and_calls():
    system = 'SYSTEM: You help with access to the following functions. Use them if required -\n{\n"name": "tides"}\n'
    chat = (
        'USER: Tides?\n\n\nASSISTANT: <functioncall> {"name": "tides", "arguments": \'{"port": "Oslo"}\'} '
        "<|endoftext|>\n\n\nFUNCTION RESPONSE: 1\n\n\nASSISTANT: One. <|endoftext|>"
    )
    found = read_row({"system": system, "chat": chat}, make_reading()).example
    assert [turn["role"] for turn in found["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert found["messages"][2]["tool_calls"][0]["function"] == {
        "name": "tides",
        "arguments": {"port": "Oslo"},
    }
    assert [tool["function"]["name"] for tool in found["tools"]] == ["tides"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"message_id": "a", "message_tree_id": "a", "text": "x", "role": "prompter"},
            "take the file of trees",
        ),
        ({"message_id": "b", "parent_id": "a", "text": "x", "role": "assistant"}, "take the file of trees"),
        ({"question": "q", "choices": ["a"], "answerKey": "A"}, "question of an exam"),
        ({"question": "q", "answers": {"text": [], "answer_start": []}}, "on_bad_row=skip"),
        ({"article": "x", "highlights": "y"}, r"\{prompt: article, completion: highlights\}"),
        ({"dialogue": "A: x", "summary": "y"}, r"\{prompt: dialogue, completion: summary\}"),
        ({"instruction": "x", "output": float("nan")}, "output is empty .*NaN"),
        ({"messages": [{"role": "user", "content": "q"}]}, r"\{prompt: TURNS, completion: ANSWER\}"),
        ({"conversations": "Human: Hi\nAssistant: Hello"}, r"data\.columns=\{transcript: conversations\}"),
        ({"role_1": "a", "message_1": "x", "message_2": "y"}, "no format has the keys"),
        (
            {"prompt": "q", "completion": {"sum": 4}},
            r"object of sum, not a string; write its JSON .*jq -c '.completion",
        ),
        (
            {"prompt": "q", "completion": {"sum": 4, "why": "x"}},
            r"\{completion: completion.why\}, or write its JSON",
        ),
        (
            {"prompt": "q", "completion": CHAT},
            r"\{messages: completion\} data.drop=\[prompt\] reads that chat",
        ),
        ({"text": "x", "label": 1.0}, r"jq -c '.label \|= floor'"),
    ],
)
def test_what_cannot_be_read_has_one_line_with_the_way_out(row, said: str):
    with pytest.raises(BrokenRow, match=said):
        read_row(row, make_reading())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"roles": {"Bea": "usr"}}, "data.roles=.*did you mean user"),
        ({"columns": {"promt": "q"}}, "did you mean prompt"),
        ({"columns": {"question_text": "prompt"}}, r"write data.columns=\{prompt: question_text\}"),
        ({"columns": {"prompt": "q", "completion": "q"}}, "given for prompt and for completion"),
        ({"drop": ["q"], "keep": ["q"]}, "take it out of one"),
        ({"max_bad_share": 1.5}, "must be at least 0 and below 1"),
    ],
)
def test_an_invalid_reading_is_refused(options, said: str):
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
