"""Rows as other tools and APIs keep them: flags of turns, parts with calls, pictures, ranks; commands that mend rows."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from launcher.data.files import read_rows
from launcher.data.findings import BrokenRow
from launcher.data.read import read_row
from launcher.data.reading import AS_IT_STANDS, Reading
from launcher.errors import DataError

ASK, ANSWER = {"role": "user", "content": "Which bird hoots?"}, {"role": "assistant", "content": "The owl."}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {}}}]


def _chat(row: dict[str, Any]) -> list[dict[str, Any]]:
    return read_row(row, AS_IT_STANDS).example["messages"]


def _fault(row: Any, reading: Reading = AS_IT_STANDS) -> str:
    with pytest.raises(BrokenRow) as fault:
        read_row(row, reading)
    return fault.value.message


@pytest.mark.parametrize(
    ("flag", "weights"),
    [
        ({"train": False}, [0]),
        ({"training": True}, [1]),
        ({"loss": False}, [0]),
        ({"masked": True}, [0]),
        ({"mask": 0}, [1]),
        ({"trainable": None}, [None]),
    ],
)
def test_a_flag_of_a_turn_says_whether_it_is_trained_on(flag: dict[str, Any], weights: list[int | None]):
    found = read_row({"messages": [{**ASK, "train": False}, {**ANSWER, **flag}]}, AS_IT_STANDS)
    assert [turn.get("weight") for turn in found.example["messages"][1:]] == weights
    assert not found.dropped


def test_a_flag_on_the_users_turn_or_within_a_turn_is_refused():
    assert "only assistant turns" in _fault({"messages": [{**ASK, "loss": True}, ANSWER]})
    detail = [{"begin_offset": 0, "end_offset": 1, "train": False}]
    assert "as a whole or not at all" in _fault({"messages": [ASK, {**ANSWER, "train_detail": detail}]})
    assert "disagree" in _fault({"messages": [ASK, {**ANSWER, "train": True, "weight": 0}]})


def test_anthropics_calls_and_results_are_calls_and_results():
    call = {"type": "tool_use", "id": "t1", "name": "look", "input": {"bird": "owl"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "found"}]}
    thought = {"type": "thinking", "thinking": "Hm."}
    turns = _chat(
        {
            "messages": [
                ASK,
                {"role": "assistant", "content": [thought, {"type": "text", "text": "Let me look."}, call]},
                {"role": "user", "content": [result, {"type": "text", "text": "And?"}]},
                ANSWER,
            ]
        }
    )
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool", "user", "assistant"]
    assert turns[1]["tool_calls"][0]["function"] == {"name": "look", "arguments": {"bird": "owl"}}
    assert (turns[1]["content"], turns[1]["reasoning_content"]) == ("Let me look.", "Hm.")
    assert (turns[2]["content"], turns[2]["tool_call_id"], turns[3]["content"]) == ("found", "t1", "And?")


def test_parts_of_bedrock_have_no_type():
    row = {
        "system": [{"text": "Be short."}],
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}, ANSWER],
    }
    assert [turn["content"] for turn in _chat(row)] == ["Be short.", "Hi", "The owl."]


@pytest.mark.parametrize("key", ["image", "images", "video", "audio"])
def test_a_picture_beside_the_text_is_refused_unless_it_is_dropped_on_purpose(key: str):
    row = {"messages": [ASK, ANSWER], key: ["owl.png"]}
    assert f"data.drop=[{key}]" in _fault(row)
    assert read_row(row, Reading(drop=(key,))).format == "messages"
    assert read_row({**row, key: []}, AS_IT_STANDS).dropped == ()


@pytest.mark.parametrize("row", [{"prompt": [ASK], "completion": [ANSWER]}, {"conversation": [ASK, ANSWER]}])
def test_tools_are_kept_beside_a_prompt_and_a_conversation(row: dict[str, Any]):
    assert read_row({**row, "tools": TOOLS}, AS_IT_STANDS).example["tools"] == TOOLS


def test_answers_with_ranks_or_votes_are_compared():
    ranked = read_row({"prompt": "q", "responses": ["a", "b", "c"], "ranks": [3, 1, 2]}, AS_IT_STANDS)
    assert (ranked.example["chosen"][0]["content"], ranked.example["rejected"][0]["content"]) == ("b", "a")
    votes = [{"text": "a", "pm_score": 1}, {"text": "b", "pm_score": 5}]
    voted = read_row({"question": "q", "answers": votes}, AS_IT_STANDS)
    assert (voted.format, voted.example["chosen"][0]["content"]) == ("compared", "b")


def test_the_rounds_of_an_arena_are_turns():
    row = {
        "prompt": '["q1", "q2"]', "response_a": '["A1", "A2"]', "response_b": '["B1", "B2"]', "winner_model_a": 0,
        "winner_model_b": 1, "winner_tie": 0,
    }  # fmt: skip
    found = read_row(row, AS_IT_STANDS).example
    assert [turn["content"] for turn in (*found["prompt"], *found["chosen"])] == ["q1", "B1", "q2", "B2"]


def test_the_reference_of_verl_reaches_the_reward_functions():
    row = {"prompt": [ASK], "data_source": "x", "reward_model": {"style": "rule", "ground_truth": "owl"}}
    assert read_row(row, AS_IT_STANDS).example["ground_truth"] == "owl"
    assert (
        "reward_model" in read_row({"prompt": "q", "reward_model": {"style": "model"}}, AS_IT_STANDS).dropped
    )


def test_two_answers_in_a_list_are_a_pair_when_it_is_said():
    row = {"instruction": "i", "input": "x", "output": ["good", "bad"]}
    columns = re.search(r"data.columns=\{chosen: (\S+), rejected: (\S+)\}", _fault(row))
    assert columns
    found = read_row(row, Reading(columns=(("chosen", columns[1]), ("rejected", columns[2]))))
    assert (found.format, found.example["rejected"][0]["content"]) == ("preference", "bad")


def test_a_label_that_pandas_made_a_number_is_a_label():
    assert read_row({"prompt": "a", "completion": "b", "label": 0.0}, AS_IT_STANDS).example["label"] is False


TWICE = {"role": "user", "content": "And which one sings?"}
LATER = {"role": "system", "content": "Be short."}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [ASK, TWICE, ANSWER]},
        {"messages": [ASK, ANSWER, ANSWER]},
        {"messages": [ASK, ANSWER, LATER, ASK, ANSWER]},
        {"messages": [ASK, ANSWER, ASK]},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "human", "value": "b"}, {"from": "gpt", "value": "c"}]},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "c"}, {"from": "human", "value": "b"}]},
        {"prompt": "a", "completion": "b", "label": "good"},
        "a text",
        {"prompt": 4, "completion": "b"},
    ],
)  # fmt: skip
def test_the_command_that_an_error_names_mends_the_row(tmp_path: Path, row: Any):
    command = re.search(r"jq -c '.*' OLD(\.jsonl)?( > \S+)?", _fault(row))
    assert command
    (tmp_path / "OLD.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "OLD").write_text(json.dumps(row) + "\n")
    subprocess.run(["bash", "-c", command[0]], cwd=tmp_path, check=True)
    new = next(file for file in (tmp_path / "NEW.jsonl", tmp_path / "NEW") if file.exists())
    read_row(json.loads(new.read_text()), AS_IT_STANDS)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"FEA1\0\0\0\0", "Feather"), (b"ORC\n\x0f", "ORC"), (b"Obj\x01x", "Avro"), (b"\x04\x22\x4d\x18x", "lz4 -d"),
        (b"Rar!\x1a\x07\0", "RAR"), (b"\x89PNG\r\n", "picture"), (b"\x10\0\0\0\0\0\0\0{\"a\":1}", "safetensors"),
        (b"outs:\n- md5: abc\n", "dvc pull"), (b"\x1f\x9d\x90x", "uncompress"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path: Path, head: bytes, said: str):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(head)
    with pytest.raises(DataError, match=re.escape(said)):
        list(read_rows(file))


def test_rows_in_a_file_called_txt_are_rows_and_texts_stay_texts(tmp_path: Path):
    rows, texts = tmp_path / "rows.txt", tmp_path / "texts.txt"
    rows.write_text('{"prompt": "a", "completion": "b"}\n')
    texts.write_text("{\nA text.\n")
    assert [row.value for row in read_rows(rows)] == [{"prompt": "a", "completion": "b"}]
    assert [row.value["text"] for row in read_rows(texts)] == ["{", "A text."]


def test_a_file_with_one_chat_under_an_unknown_name_is_one_row(tmp_path: Path):
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps({"interactions": [ASK, ANSWER]}))
    (row,) = read_rows(file)
    assert "data.columns={messages: interactions}" in _fault(row.value)


def test_columns_of_unequal_length_are_named(tmp_path: Path):
    file = tmp_path / "columns.json"
    file.write_text('{"prompt": ["a", "b"], "completion": ["c"]}')
    (row,) = read_rows(file)
    assert row.fault
    assert "prompt has 2, completion has 1" in row.fault.message


def test_texts_in_a_binary_column_are_texts(tmp_path: Path):
    pq.write_table(pa.table({"prompt": [b"a"], "completion": ["b"]}), tmp_path / "rows.parquet")  # pyright: ignore
    assert [row.value["prompt"] for row in read_rows(tmp_path / "rows.parquet")] == ["a"]


def test_a_folder_of_spark_and_one_of_a_saved_dataset_dict_are_found(tmp_path: Path):
    (tmp_path / "spark").mkdir()
    (tmp_path / "spark" / "part-00000").write_text('{"text": "a"}\n')
    (tmp_path / "spark" / "_SUCCESS").touch()
    assert len(list(read_rows(tmp_path / "spark"))) == 1
    for split in ("test", "train"):
        (tmp_path / "saved" / split).mkdir(parents=True)
        (tmp_path / "saved" / split / "data.arrow").touch()
    with pytest.raises(DataError, match=r"such as .*/saved/train"):
        list(read_rows(tmp_path / "saved"))
