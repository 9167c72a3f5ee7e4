"""The classes of classified rows: how labels are read, and what the data check says of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.__main__ import main
from launcher.data.kinds import kind_of
from launcher.data.portion import Sizes
from launcher.data.read import read_example

TURN = {"role": "user", "content": "Where is it?"}


@pytest.fixture
def checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Writes rows as a file, and others as its evaluation file, and checks it: the exit code and the report."""

    def checked(rows: list[dict[str, Any]], evaluation: list[dict[str, Any]] | None = None):
        options: list[str] = []
        for name, content in (("train", rows), ("eval", evaluation or [])):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
        if evaluation:
            options = ["--eval", str(tmp_path / "eval.jsonl")]
        code = main(["data", "check", str(tmp_path / "train.jsonl"), "--json", *options])
        return code, json.loads(capsys.readouterr().out)

    return checked


def rows(label: str, count: int, text: str = "Message") -> list[dict[str, Any]]:
    return [
        {"text": f"{text} {number} about {label} and nothing else", "label": label} for number in range(count)
    ]


def said(report: dict[str, Any], rule: str) -> list[str]:
    return [finding["message"] for finding in report["findings"] if finding["rule"] == rule]


@pytest.mark.parametrize(
    ("label", "read"),
    [
        ("late", ["late"]),
        (" late ", ["late"]),
        (3, ["3"]),
        (True, ["true"]),
        (["a", "b"], ["a", "b"]),
        ([], []),
    ],
)
def test_a_label_is_a_word_a_whole_number_or_a_list_of_them(label: Any, read: list[str]):
    _, example = read_example({"text": "Where is it?", "label": label})
    assert (kind_of(example), example["labels"]) == ("classified", read)


def test_a_list_in_a_cell_of_a_table_is_read_as_the_list():
    assert read_example({"text": "x", "labels": '["a", "b"]'})[1]["labels"] == ["a", "b"]


def test_a_chat_with_a_label_can_end_with_the_users_turn():
    name, example = read_example({"messages": [TURN], "system": "Be brief.", "label": "late"})
    assert name == "chat_label"
    assert [turn["role"] for turn in example["messages"]] == ["system", "user"]


def test_a_file_of_classes_of_equal_size_has_no_finding_about_them(checked):
    code, report = checked([*rows("late", 40), *rows("lost", 40)])
    assert code == 0 and not [one for one in report["counts"] if one in ("class_balance", "two_labels")]
    assert [(one["label"], one["rows"]) for one in report["classes"]["labels"]] == [
        ("late", 40),
        ("lost", 40),
    ]
    assert report["classes"]["labels"][1]["first"].endswith("train.jsonl, line 41")


def test_a_class_with_most_rows_is_told_with_the_accuracy_of_always_answering_it(checked):
    _, report = checked([*rows("late", 90), *rows("lost", 30)])
    assert not said(report, "class_balance")  # 75 % is the bar for two classes
    _, report = checked([*rows("late", 91), *rows("lost", 29)])
    assert "'late' has 91 of 120 rows (75.8%)" in said(report, "class_balance")[0]


def test_classes_with_few_rows_are_told_with_their_numbers(checked):
    _, report = checked([*rows("late", 40), *rows("lost", 40), *rows("broken", 9)])
    assert "1 of 3 classes have few of the 89 rows: 'broken' 9 (10.1%)" in said(report, "class_balance")[0]


def test_one_class_alone_is_an_error(checked):
    code, report = checked(rows("late", 60))
    assert code == 1 and said(report, "one_class") == [
        "all 60 rows have label 'late'; add rows of other classes"
    ]


def test_the_same_text_with_two_labels_is_told_with_both_lines(checked):
    row = {"text": "message 3 about late, and nothing else!", "label": "lost"}
    _, report = checked([*rows("late", 40), *rows("lost", 40), row])
    assert said(report, "two_labels") == [
        "has label 'lost', and line 4 with the same words has 'late'; keep the right one"
    ]
    assert next(one["line"] for one in report["findings"] if one["rule"] == "two_labels") == 81


def test_labels_of_only_one_of_the_two_files_are_told(checked):
    _, report = checked(
        [*rows("late", 30), *rows("lost", 30)], [*rows("late", 5, "Other"), *rows("found", 2)]
    )
    assert (
        "2 evaluation rows have label 'found', which no training row has" in said(report, "unseen_label")[0]
    )
    assert "no evaluation row has label 'lost' (30 training rows)" in said(report, "untested_label")[0]
    assert report["eval"]["classes"]["rows"] == 7


def test_a_large_file_that_several_processes_read_has_the_same_counts(checked):
    text = "x" * 200
    _, report = checked([*rows("late", 3000, text), *rows("lost", 3000, text)])
    assert Sizes().small < 6000 * 200
    found = [
        (one["label"], one["rows"], one["first"].rpartition(" ")[2]) for one in report["classes"]["labels"]
    ]
    assert found == [("late", 3000, "1"), ("lost", 3000, "3001")]
