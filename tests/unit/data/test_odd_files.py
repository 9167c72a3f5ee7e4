"""Files and rows as exports and accidents leave them: each is read, or named once for what it is, with the way on."""

import json
from pathlib import Path
from typing import Any

import pytest

from launcher.data.check import Report, check
from launcher.data.portion import CheckOptions
from launcher.data.read import read_example
from launcher.data.report import describe
from launcher.data.whole import advise
from launcher.errors import DataError
from launcher.masking import LOOKS, STARTS

ROWS = [
    {"question": f"What is in shed {number}?", "answer": f"Rope of {number} fathoms."} for number in range(6)
]
LINES = "".join(f"{json.dumps(row)}\n" for row in ROWS)


def checked(path: Path) -> Report:
    return check(CheckOptions(path=path, max_length=2048))


DEEP = "[" * 100_000
CHAT = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
CALL = {"function": {"name": "f", "arguments": DEEP}}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"messages": CHAT, "tools": DEEP}, "tools is not JSON"),
        ({"messages": [CHAT[0], {"role": "assistant", "tool_calls": [CALL]}]}, "arguments of f are not JSON"),
        ({"text": "a", "label": DEEP}, "characters, and the name of a class has at most"),
        ({"query": "a", "answers": DEEP, "tools": "[]"}, "answers is not JSON"),
    ],
)
def test_json_within_a_text_that_is_nested_too_deeply_is_a_finding_of_its_row(
    tmp_path: Path, row: Any, said: str
):
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(row)}\n")
    finding = checked(tmp_path / "rows.jsonl").findings[0]
    assert said in finding.message and finding.line == 1


def test_a_cell_that_is_nested_too_deeply_is_a_finding_of_its_row(tmp_path: Path):
    (tmp_path / "rows.csv").write_text(f'messages\n"{DEEP}"\n')
    finding = checked(tmp_path / "rows.csv").findings[0]
    assert "nested too deeply" in finding.message and finding.line == 2


def test_a_table_by_columns_may_have_numbers_for_names(tmp_path: Path):
    (tmp_path / "rows.json").write_text('{"columns": ["prompt", 1], "data": [["a", "b"]]}')
    report = checked(tmp_path / "rows.json")
    assert report.part.formats == {"prompt": 1}
    assert "keys that are not read, with their number of rows: 1 (1)" in report.findings[0].message


@pytest.mark.parametrize("columns", ['["a", "b"]', '[["a"], ["b"]]'])
def test_an_object_whose_data_are_no_records_is_not_taken_for_a_table(tmp_path: Path, columns: str):
    (tmp_path / "rows.json").write_text(f'{{"columns": {columns}, "data": [1, 2]}}')
    finding = checked(tmp_path / "rows.json").findings[0]
    assert finding.rule == "format" and "columns, data" in finding.message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"question": "a", "answer": "b"},', "ends with a comma"),
        ('{"question": "a"}{"question": "b"}', "several objects on one line"),
        ("// from the export", "a comment"),
        ("<<<<<<< HEAD", "a merge conflict"),
        ('{"question": "a\tb", "answer": "c"}', "a tab or another control character"),
        ('{"question": "a", "answer": None}', "as Python writes them"),
        ('{"question": "a", "answer": "b",}', "a comma before a closing bracket"),
        ("{“question”: “a”}", "typographic quotes"),
        ("[" * 5000 + "]" * 5000, "nested too deeply"),
        ('2026-01-02 INFO {"question": "a", "answer": "b"}', "other text before the object"),
        ("question: a", "perhaps YAML"),
        ("question,answer", "name it .csv"),
        ("<row><a/></row>", "XML or HTML"),
        (json.dumps(json.dumps(ROWS[0])), "JSON twice"),
    ],
)
def test_a_line_that_is_no_row_is_called_what_it_is(tmp_path: Path, line: str, said: str):
    (tmp_path / "rows.jsonl").write_text(f"{LINES}{line}\n")
    (finding,) = [one for one in checked(tmp_path / "rows.jsonl").findings if one.level == "error"]
    assert said in finding.message
    assert finding.line == 7


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}, {"role": "model", "parts": [{"text": "Yo"}]}]}, "chat"),
        ({"messages": [{"Role": "User", "Content": "Hi"}, {"Role": "Assistant", "Content": "Yo"}]}, "chat"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
             "output": [{"role": "assistant", "content": [{"type": "output_text", "text": "Yo"}]}]},
            "chat",
        ),
        ({"query": "Hi", "response": "Yo", "history": []}, "chat"),
        ({"instruction": "Hi", "input": "", "output": "Yo", "kto_tag": False}, "labelled"),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}], "kto_tag": "true"}, "labelled"),
        (
            {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}],
             "rejected_response": "No"},
            "pair",
        ),
        ({"instruction": "Hi", "output": "Yo", "kto_tag": 0}, "labelled"),
        ({"prompt": "Hi", "completion_a": "No", "completion_b": "Yo", "preference": "b"}, "pair"),
        ({"prompt": "Hi", "responses": ["No", "Yo"], "scores": [1, 5]}, "pair"),
    ],
)  # fmt: skip
def test_rows_of_other_tools_are_read_with_the_good_answer_where_it_belongs(row: dict[str, Any], kind: str):
    _, example = read_example(row)
    if kind == "pair":
        said = [example[side][0]["content"] for side in ("prompt", "chosen", "rejected")]
        assert said == ["Hi", "Yo", "No"]
    elif kind == "labelled":
        assert [turn["content"] for turn in (*example["prompt"], *example["completion"])] == ["Hi", "Yo"]
        assert example["label"] is (row["kto_tag"] == "true")
    else:
        assert [(turn["role"], turn["content"]) for turn in example["messages"]] == [
            ("user", "Hi"),
            ("assistant", "Yo"),
        ]


@pytest.mark.parametrize(
    ("given", "good"), [(1.0, True), (0.0, False), (1, True), ("1", True), ("0.0", False)]
)
def test_a_label_that_a_table_has_made_a_number_keeps_its_meaning(given: Any, good: bool):
    for row in (
        {"instruction": "Hi", "output": "Yo", "kto_tag": given},
        {"prompt": "Hi", "completion": "Yo", "label": given},
    ):
        assert read_example(row)[1]["label"] is good


def test_the_turns_before_a_question_are_read():
    _, example = read_example({"query": "And?", "response": "Bye", "history": [["Hi", "Hello"]]})
    assert [turn["content"] for turn in example["messages"]] == ["Hi", "Hello", "And?", "Bye"]


@pytest.mark.parametrize(
    "text",
    [
        "question|answer\n" + "".join(f"{row['question']}|{row['answer']}\n" for row in ROWS),
        "sep=;\nquestion;answer\n" + "".join(f"{row['question']};{row['answer']}\n" for row in ROWS),
    ],
)
def test_a_table_says_what_separates_its_cells(tmp_path: Path, text: str):
    (tmp_path / "rows.csv").write_text(text)
    report = checked(tmp_path / "rows.csv")
    assert (report.errors, len(report.part.lines)) == (0, 6)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("question,answer\na,b\nquestion,answer\nc,d\n", 3, "the line of names again"),
        ("# exported\nquestion,answer\na,b\n", 2, "it holds no names of columns"),
        ("question,answer\n", None, "rows below the line of names"),
        ("question,answer\na,7\n" + '"b,c\n', 3, "is not closed"),
    ],
)
def test_a_table_with_a_mistake_is_named_with_its_line(
    tmp_path: Path, text: str, line: int | None, said: str
):
    (tmp_path / "rows.csv").write_text(text)
    report = checked(tmp_path / "rows.csv")
    found = next(one for one in report.findings if one.level == "error")
    assert found.line == line
    assert said in found.message


def test_no_key_is_offered_against_a_fault_after_which_nothing_is_read(tmp_path: Path):
    good = "".join(f"{row['question']},{row['answer']}\n" for row in ROWS * 40)
    (tmp_path / "rows.csv").write_text(f'question,answer\n{good}"open,cell\n')
    assert "data.on_bad_row" not in describe(checked(tmp_path / "rows.csv"))


def test_an_answer_that_is_a_number_or_missing_is_one_cause(tmp_path: Path):
    numbers = "".join(json.dumps({"question": f"{number}?", "answer": number}) + "\n" for number in range(3))
    (tmp_path / "rows.jsonl").write_text(f'{numbers}{{"question": "4?", "answer": NaN}}\n')
    said = {one.message for one in checked(tmp_path / "rows.jsonl").findings if one.rule == "type"}
    assert len(said) == 2
    assert any("tostring" in one for one in said)
    assert any("answer is empty (null, NaN" in one for one in said)


def test_rows_under_their_ids_are_rows_and_a_map_of_answers_is_named(tmp_path: Path):
    (tmp_path / "ids.json").write_text(json.dumps({str(number): row for number, row in enumerate(ROWS)}))
    assert len(checked(tmp_path / "ids.json").part.lines) == 6
    (tmp_path / "map.json").write_text(json.dumps({row["question"]: row["answer"] for row in ROWS}))
    (found,) = [one for one in checked(tmp_path / "map.json").findings if one.level == "error"]
    assert "jq -c 'to_entries[]" in found.message


def test_a_folder_with_training_and_test_files_is_not_trained_on_as_a_whole(tmp_path: Path):
    for name in ("train-0.jsonl", "test.jsonl"):
        (tmp_path / name).write_text(LINES)
    with pytest.raises(DataError, match=r"data\.path=.*train-0\.jsonl data\.eval_path=.*test\.jsonl"):
        checked(tmp_path)


def test_a_folder_of_folders_is_answered_with_one_of_them(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text(LINES)
    with pytest.raises(DataError, match=r"such as .*data"):
        checked(tmp_path)


@pytest.mark.parametrize("text", ["Gr\ufffd\ufffde", "GrÃ¶ÃŸe", "itâ€™s"])
def test_characters_that_a_conversion_has_destroyed_are_a_warning(tmp_path: Path, text: str):
    (tmp_path / "rows.jsonl").write_text(LINES + json.dumps({"question": "Size?", "answer": text}) + "\n")
    (found,) = [one for one in checked(tmp_path / "rows.jsonl").findings if one.rule == "garbled"]
    assert found.message.startswith("1 row")


def test_letters_with_accents_are_not_taken_for_a_broken_conversion(tmp_path: Path):
    text = "Größe, São João, NÃO, Ångström, 12 °C, «à Â§» — l’été, 港の鐘"
    (tmp_path / "rows.jsonl").write_text(
        json.dumps({"question": "Words?", "answer": text.replace("Â§", "§")}) + "\n"
    )
    assert checked(tmp_path / "rows.jsonl").part.counts["garbled"] == 0


@pytest.mark.parametrize(
    "text",
    [
        f"hf_{'aB3' * 10}", f"use sk-proj-{'x_9' * 9} for it", "AKIA" + "ABCD1234" * 2,
        "-----BEGIN RSA PRIVATE KEY-----\nMIIB", "-----BEGIN PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_a_key_in_a_row_is_a_warning_that_does_not_repeat_it(tmp_path: Path, text: str):
    (tmp_path / "rows.jsonl").write_text(LINES + json.dumps({"question": "Key?", "answer": text}) + "\n")
    (found,) = [one for one in checked(tmp_path / "rows.jsonl").findings if one.rule == "secret"]
    assert found.message.startswith("1 row with") and text not in found.message
    assert found.line == len(LINES.splitlines()) + 1


@pytest.mark.parametrize(
    "text", ["task-oriented and risk-free", "the path hf_hub", "-----BEGIN PUBLIC KEY-----", "foxox-1"]
)
def test_words_that_begin_as_a_key_does_are_no_keys(tmp_path: Path, text: str):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"question": "Words?", "answer": text}) + "\n")
    assert checked(tmp_path / "rows.jsonl").part.counts["secret"] == 0


def test_every_form_of_a_token_begins_as_the_quick_look_expects():
    ends = {"AKIA": "A" * 16, "xox": "b-" + "1" * 10, "wandb_v": "1_" + "a" * 20}
    for start in STARTS:
        assert LOOKS.fullmatch(start + ends.get(start, "a" * 30))
    assert LOOKS.pattern.count("|") == len({one[:2] for one in STARTS}) - 1


@pytest.mark.parametrize(
    ("answers", "warned"),
    [
        (["4"] * 12, True), (["yes"] * 20 + ["no"] * 4, True), (["yes"] * 14 + ["no"] * 10, False),
        (["Sorry. "] * 14 + [str(n) for n in range(6)], True), (["4"] * 9, False), ([str(n % 7) for n in range(40)], False),
    ],
)  # fmt: skip
def test_one_answer_for_most_chats_is_a_warning(tmp_path: Path, answers: list[str], warned: bool):
    rows = [{"question": f"Question {n}?", "answer": answer} for n, answer in enumerate(answers)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert (checked(tmp_path / "rows.jsonl").part.counts["same_answer"] == 1) is warned


def test_e_mail_addresses_are_counted_in_the_advice(tmp_path: Path):
    texts = ["write to a.b@example.org", "@home", "x@y", "python@3.11 is new"]
    rows = [{"question": "Who?", "answer": text} for text in texts]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    part = checked(tmp_path / "rows.jsonl").part
    assert part.marked["address"] == 1
    assert any(line.startswith("1 row (25.0%) with an e-mail address") for line in advise(part))


def test_two_byte_order_marks_are_skipped(tmp_path: Path):
    (tmp_path / "rows.jsonl").write_bytes(b"\xef\xbb\xbf" * 2 + LINES.encode())
    assert checked(tmp_path / "rows.jsonl").errors == 0
