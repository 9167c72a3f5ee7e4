"""Texts in parts, as axolotl's template-free rows have them: what is trained on, measured, written and refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from launcher.__main__ import main
from launcher.data.check import CheckOptions, check
from launcher.data.convert import write_row
from launcher.data.cut import Cut
from launcher.data.findings import BrokenRow
from launcher.data.mask import IGNORED, encode, show
from launcher.data.read import read_example
from launcher.data.rendering import problems
from launcher.data.tokenizer import byte_tokenizer

ROW = {
    "segments": [
        {"label": False, "text": "<|im_start|>Which bird hoots?\n"},
        {"label": True, "text": "The owl."},
        {"label": 0, "text": " No,"},
        {"label": 1, "text": " it hoots.<|im_end|>"},
    ]
}


def common(row: dict[str, Any]) -> dict[str, Any]:
    name, example = read_example(row)
    assert name == "segments"
    return example


def refused(row: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(BrokenRow) as fault:
        read_example(row)
    return fault.value.rule, fault.value.message


@pytest.mark.parametrize("assistant_only", [True, False])
def test_only_the_parts_with_label_true_are_trained_on_and_no_token_is_added(assistant_only: bool):
    tokenizer = byte_tokenizer()
    encoded = encode(common(ROW), tokenizer, assistant_only, "")
    assert show(encoded, tokenizer) == ("<|im_start|>Which bird hoots?\n[The owl.] No,[ it hoots.<|im_end|>]")
    whole = "".join(one["text"] for one in ROW["segments"])
    assert tokenizer.decode(encoded["input_ids"]) == whole


def test_each_part_is_tokenized_by_itself():
    tokenizer = byte_tokenizer()
    parts = [tokenizer(one["text"], add_special_tokens=False)["input_ids"] for one in ROW["segments"]]
    assert encode(common(ROW), tokenizer, True, "")["input_ids"] == [
        token for part in parts for token in part
    ]


def test_a_long_row_loses_its_end_like_a_chat_and_is_not_split_like_a_text():
    tokenizer, cut = byte_tokenizer(), Cut()
    example = common(ROW)
    (piece,) = cut.fit(example, encode(example, tokenizer, True, ""), 30)
    assert len(piece["input_ids"]) == 30 and (cut.cut, cut.split) == (1, 0)
    assert any(label != IGNORED for label in piece["labels"])


@pytest.mark.parametrize(
    ("segments", "rule"),
    [
        ([], "type"),
        ("text", "type"),
        ([{"label": True}], "type"),
        ([{"label": True, "text": 7}], "type"),
        (["text"], "type"),
        ([{"text": "x"}], "label"),
        ([{"label": "yes", "text": "x"}], "label"),
        ([{"label": True, "text": " "}], "empty"),
        ([{"label": False, "text": "x"}, {"label": True, "text": ""}], "no_answer"),
    ],
)
def test_a_row_that_says_no_part_or_no_label_is_refused(segments: Any, rule: str):
    found, message = refused({"segments": segments})
    assert found == rule and "segment" in message and "\n" not in message


def test_a_text_with_the_segments_of_a_recording_beside_it_stays_a_text():
    assert read_example({"text": "Hello", "segments": [{"start": 0.0, "end": 1.5}]})[0] == "text"


def test_an_answer_without_an_end_is_found():
    tokenizer = byte_tokenizer()
    assert problems(common(ROW), tokenizer) == []
    open_ended = {"segments": [{"label": True, "text": "The owl."}]}
    ((rule, message),) = problems(common(open_ended), tokenizer)
    assert rule == "no_end" and tokenizer.eos_token in message


def test_the_check_counts_the_characters_that_are_trained_on(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    rows = [
        {"segments": [{"label": False, "text": f"{at} " + "x" * 78}, {"label": True, "text": "y" * 20}]}
        for at in range(10, 99)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = check(CheckOptions(path=file, max_length=8))
    assert not report.errors
    assert report.tokens["trained_share"] == pytest.approx(20 / 101)
    assert (report.tokens["truncated"], report.tokens["split"]) == (len(rows), 0)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
def test_rows_come_back_through_every_storage(tmp_path: Path, suffix: str):
    row = {"segments": [{"label": bool(one["label"]), "text": one["text"]} for one in ROW["segments"]]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    between, back = tmp_path / f"between.{suffix}", tmp_path / "back.jsonl"
    assert main(["data", "convert", str(tmp_path / "rows.jsonl"), str(between), "--to", "segments"]) == 0
    assert main(["data", "convert", str(between), str(back), "--to", "segments"]) == 0
    assert json.loads(back.read_text()) == row


def test_parts_that_are_not_trained_on_do_not_become_a_text_that_is():
    with pytest.raises(BrokenRow, match="use --to segments"):
        write_row(common(ROW), "text")
    whole = {"segments": [{"label": True, "text": "Once "}, {"label": True, "text": "upon a time."}]}
    assert write_row(common(whole), "text") == {"text": "Once upon a time."}
    assert write_row({"text": "Once"}, "segments") == {"segments": [{"label": True, "text": "Once"}]}
