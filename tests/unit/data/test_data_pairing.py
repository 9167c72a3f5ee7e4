"""Rows that are well formed alone and wrong together: calls without results, one label, evaluation rows that are trained on."""

import json
from pathlib import Path
from typing import Any

import pytest

from launcher.data.check import CheckOptions, check
from launcher.data.tool_results import mismatches

ASK, ANSWER = {"role": "user", "content": "When is high water?"}, {"role": "assistant", "content": "At six."}


def calls(*names: str, ids: bool = True) -> dict[str, Any]:
    made = [{"type": "function", "function": {"name": name, "arguments": {}}} for name in names]
    if ids:
        made = [{**call, "id": f"id_{name}"} for call, name in zip(made, names, strict=True)]
    return {"role": "assistant", "content": "", "tool_calls": made}


def result(id: str | None = None) -> dict[str, Any]:
    return {"role": "tool", "content": "6:10", **({"tool_call_id": id} if id else {})}


TIDE = {"tools": [{"type": "function", "function": {"name": "tide"}}]}


@pytest.mark.parametrize(
    ("turns", "more", "said"),
    [
        ([calls("tide"), result("id_tide"), ANSWER], TIDE, []),
        ([calls("tide"), result(), ANSWER], {}, []),
        ([calls("tide", "moon", ids=False), result(), result(), ANSWER], {}, []),
        ([calls("tide", "moon"), result("id_moon"), result("id_tide"), ANSWER], {}, []),
        ([calls("tide")], {}, []),
        ([calls("moon"), result("id_moon"), ANSWER], TIDE, ["it calls moon, but the row's tools declare only tide"]),
        ([calls("tide"), ANSWER], {}, ["1 call (id_tide) of turn 2 without a result"]),
        ([calls("tide", "moon"), result("id_tide"), ANSWER], {}, ["1 call (id_moon) of turn 2 without a result"]),
        ([calls("tide", "moon", ids=False), result(), ANSWER], {}, ["1 call of turn 2 without a result"]),
        ([calls("tide"), result("other"), ANSWER], {}, [
            "the result in turn 3 answers the call 'other', but the calls are id_tide",
            "1 call (id_tide) of turn 2 without a result",
        ]),
    ],
)  # fmt: skip
def test_calls_tools_and_results_belong_together(turns: list[Any], more: dict[str, Any], said: list[str]):
    assert mismatches({"messages": [ASK, *turns], **more}) == said
    assert mismatches({"prompt": [ASK], "chosen": turns, "rejected": [ANSWER], **more}) == said


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def found(path: Path, evaluation: Path | None = None) -> dict[str, tuple[int | None, str]]:
    report = check(CheckOptions(path=path, eval_path=evaluation))
    return {one.rule: (one.line, one.message) for one in report.findings}


def chat(question: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, ANSWER]}


def test_evaluation_rows_that_differ_in_case_spaces_or_punctuation_are_training_rows(tmp_path):
    train = write(tmp_path / "train.jsonl", [chat("Where do otters sleep?"), chat("Who mends shoes?")])
    held = write(tmp_path / "eval.jsonl", [chat("WHO  mends shoes"), chat("Who mends boats?")])
    line, message = found(train, held)["eval_exact"]
    assert line == 2
    assert "has the words of" in message and "eval.jsonl, line 1, with other case" in message
    assert check(CheckOptions(path=train, eval_path=held)).part.counts["eval_exact"] == 1


def test_the_training_file_as_evaluation_file_is_one_finding(tmp_path):
    train = write(tmp_path / "train.jsonl", [chat("Where do otters sleep?")])
    seen = found(train, train)
    assert "data.eval_fraction" in seen["same_file"][1]
    assert "eval_exact" not in seen


def test_one_label_and_answers_of_weight_zero_are_named(tmp_path):
    good = {"prompt": "Is ice cold?", "completion": "Yes.", "label": True}
    assert "label true" in found(write(tmp_path / "one.jsonl", [good, good]))["one_label"][1]
    assert "one_label" not in found(write(tmp_path / "two.jsonl", [good, {**good, "label": False}]))
    weighed = {"prompt": [ASK], "chosen": [{**ANSWER, "weight": 0}], "rejected": [ANSWER]}
    assert (
        "every turn of chosen has weight 0" in found(write(tmp_path / "pair.jsonl", [weighed]))["weight"][1]
    )
