"""What `data check` says about a file: verdict, findings with their lines, and what is in it."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.__main__ import main
from launcher.data import counting
from launcher.data.check import check
from launcher.data.findings import RULES
from launcher.data.part import Part
from launcher.data.portion import CheckOptions, Sizes
from launcher.data.whole import STEPS, advise
from launcher.output import as_json

WORDS = "lamp oil keeper gull storm rope ladder bell lens clock tide chart boat stove letter coat window wick stair rail"
NOUNS = WORDS.split(" ")


def chat(number: int, **answer: Any) -> dict[str, Any]:
    """A chat unlike every other."""
    draw = random.Random(number)
    words = [" ".join(draw.choices(NOUNS, k=20)) for _ in range(2)]
    turns = [
        {"role": "user", "content": f"{words[0]} {number}?"},
        {"role": "assistant", "content": f"{words[1]}.", **answer},
    ]
    return {"messages": turns}


CHATS = [chat(number) for number in range(60)]
Checked = tuple[int, dict[str, Any]]


@pytest.fixture
def checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Checked]:
    """Writes rows, or raw bytes, as a file and checks it: the exit code and the report."""

    def checked(
        rows: list[Any] | bytes, *options: str, evaluation: list[Any] | None = None, name: str = "train.jsonl"
    ) -> Checked:
        (tmp_path / name).write_bytes(rows if isinstance(rows, bytes) else lines(rows))
        if evaluation is not None:
            (tmp_path / "eval.jsonl").write_bytes(lines(evaluation))
            options = (*options, "--eval", str(tmp_path / "eval.jsonl"))
        code = main(["data", "check", str(tmp_path / name), "--json", *options])
        return code, json.loads(capsys.readouterr().out)

    return checked


def lines(rows: list[Any]) -> bytes:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


def found(report: dict[str, Any]) -> list[tuple[str, int | None]]:
    return [(finding["rule"], finding["line"]) for finding in report["findings"]]


def test_a_clean_file_is_ok_and_exits_with_0(checked):
    code, report = checked(CHATS)
    assert (code, report["verdict"], report["rows"], report["findings"]) == (0, "ok", 60, [])


def test_an_error_exits_with_1_and_names_level_rule_line_and_message(checked):
    code, report = checked([*CHATS, {"messages": []}])
    assert (code, report["verdict"]) == (1, "error")
    assert report["findings"] == [
        {
            "level": "error",
            "rule": "empty",
            "line": 61,
            "message": "messages is an empty list; remove the row",
        }
    ]


def test_a_warning_alone_exits_with_0(checked):
    code, report = checked(CHATS[:3])
    assert (code, report["verdict"], found(report)) == (0, "warning", [("size", None)])


def test_every_wrong_line_is_found_with_its_own_line(checked):
    _, report = checked(b'\n{"a"\n' + lines(CHATS) + b'\xff\n"x"\n')
    assert found(report) == [("not_json", 2), ("not_utf8", 63), ("not_object", 64)]


@pytest.mark.parametrize("on_one_line", [True, False])
def test_a_finding_in_an_array_on_one_line_names_the_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], on_one_line: bool
):
    wrong = [*CHATS[:16], {"messages": []}, *CHATS[16:], CHATS[3]]
    file = tmp_path / "chats.json"
    file.write_text(json.dumps(wrong, indent=None if on_one_line else 0))
    assert main(["data", "check", str(file)]) == 1
    said = capsys.readouterr().out
    assert ("  row 17: messages is an empty list" in said) is on_one_line
    assert ("  row 62: the same as row 4;" in said) is on_one_line
    assert main(["data", "check", str(file), "--json"]) == 1
    finding = json.loads(capsys.readouterr().out)["findings"][0]
    assert (finding.get("unit", "line"), finding["line"] == 17) == (
        ("row", True) if on_one_line else ("line", False)
    )


@pytest.mark.parametrize("text", [b"", b"\n\n", b"\xef\xbb\xbf", b"[]"])
def test_a_file_without_rows_is_an_error(checked, text: bytes):
    code, report = checked(text)
    assert (code, found(report)) == (1, [("no_rows", None)])


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
LEGAL = {
    "a tool call with null content": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "1", "content": "y"},
        {"role": "assistant", "content": "z"},
    ],
    "content as parts": [
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "x"}]},
    ],
    "a weight": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "y", "weight": 0},
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "y", "weight": 1},
    ],
    "a name": [
        {"role": "user", "name": "Ann", "content": "x"},
        {"role": "assistant", "name": "Bot", "content": "y"},
    ],
    "a long line": [{"role": "user", "content": "x " * 1_000_000}, {"role": "assistant", "content": "y"}],
}


@pytest.mark.parametrize("turns", LEGAL.values(), ids=LEGAL)
def test_what_is_legal_is_not_an_error(checked, turns: list[Any]):
    code, report = checked([{"messages": turns}])
    assert (code, report["errors"]) == (0, 0)


KEPT = {
    "byte-order mark": b"\xef\xbb\xbf" + lines(CHATS),
    "CRLF": lines(CHATS).replace(b"\n", b"\r\n"),
    "blank lines": lines(CHATS) + b"\n\r\n \n",
    "array": json.dumps(CHATS, indent=2).encode(),
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_a_file_that_is_kept_otherwise_gives_the_same_report(checked, text: bytes):
    _, plain = checked(CHATS)
    _, report = checked(text)
    assert report == plain


def test_half_a_surrogate_pair_is_not_utf8(checked):
    row = json.dumps(chat(0)).replace("lamp", "\\ud83d").encode()
    assert ("not_utf8", 1) in found(checked(row + b"\n")[1])


def test_a_text_file_with_a_turn_on_each_line_is_a_warning(checked: Callable[..., Checked]):
    turns = "".join(f"User: question {number}\nAssistant: answer {number}\n\n" for number in range(30))
    _, report = checked(turns.encode(), name="chats.txt")
    (finding,) = (one for one in report["findings"] if one["rule"] == "turn_as_row")
    assert "60 of 60 texts begin with a speaker" in finding["message"]
    prose = "".join(f"Line {number} of a story.\nUser: that is a word.\n" for number in range(30))
    assert "turn_as_row" not in checked(prose.encode(), name="prose.txt")[1]["counts"]


def test_all_weights_0_is_refused_as_nothing_trained(checked):
    code, report = checked([chat(number, weight=0) for number in range(60)])
    assert (code, report["findings"][0]["rule"]) == (1, "nothing_trained")
    assert "weight 0" in report["findings"][0]["message"]


def test_chats_of_answers_alone_are_refused_as_everything_trained(checked):
    code, report = checked([{"messages": one["messages"][1:]} for one in CHATS])
    assert (code, found(report)[:2]) == (1, [("everything_trained", None), ("assistant_first", 1)])


def test_the_trained_share_counts_answers_of_weight_1(checked):
    turns = [{"role": "user", "content": "xxxx"}, {"role": "assistant", "content": "yyyy"}]
    row = {"messages": [*turns, turns[0], {**turns[1], "weight": 0}]}
    assert checked([row])[1]["tokens"]["trained_share"] == 0.25


def test_an_exact_duplicate_is_found_in_another_format_too(checked):
    turns = [turn["content"] for turn in CHATS[3]["messages"]]
    _, report = checked([*CHATS, {"prompt": turns[0], "completion": turns[1]}])
    assert ("duplicate", 61) in found(report)
    messages = [one["message"] for one in report["findings"] if one["rule"] == "duplicate"]
    assert messages == ["the same as line 4; remove one of them"]


def test_a_row_that_differs_in_one_word_is_a_near_duplicate(checked):
    changed = json.loads(json.dumps(CHATS[3]).replace("60", "61"))
    changed["messages"][1]["content"] += " Quite."
    _, report = checked([*CHATS, changed])
    assert (found(report), report["near_duplicates"]) == ([("near_duplicate", 61)], 1)


def test_an_evaluation_row_that_is_trained_on_is_found(checked):
    _, report = checked(CHATS, evaluation=[chat(1000), CHATS[7]])
    assert found(report) == [("eval_exact", 8)]
    assert (report["eval"]["rows"], report["eval"]["exact"]) == (2, 1)


@pytest.mark.parametrize(("words", "rules"), [(13, [("eval_overlap", 5)]), (12, [])])
def test_13_words_in_a_row_are_an_overlap_and_12_are_not(checked, words: int, rules: list[Any]):
    text = " ".join(CHATS[4]["messages"][1]["content"].split()[:words]).upper()
    _, report = checked(CHATS, evaluation=[{"prompt": "Other?", "completion": f"zebra, {text}; yak"}])
    assert found(report) == rules


def test_a_system_prompt_that_all_share_is_not_an_overlap(checked):
    system = {"role": "system", "content": " ".join(NOUNS)}
    both = [{"messages": [system, *chat(number)["messages"]]} for number in range(61)]
    assert checked(both[:60], evaluation=both[60:])[1]["findings"] == []


def test_an_error_in_the_evaluation_file_is_an_error(checked):
    code, report = checked(CHATS, evaluation=[{"messages": []}])
    assert (code, found(report)) == (1, [("empty", None)])
    assert "eval.jsonl, line 1: messages is an empty list" in report["findings"][0]["message"]


@pytest.mark.parametrize("rows", [60, 3000], ids=["small", "large"])
def test_an_evaluation_file_without_rows_is_an_error(checked, rows: int):
    code, report = checked([chat(number) for number in range(rows)], evaluation=[])
    assert (code, found(report)[0]) == (1, ("no_rows", None))


def test_what_is_longer_than_max_length_is_counted(checked):
    long = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "word " * 1000}]}
    _, report = checked([*CHATS, long], "--max-length", "100")
    assert found(report) == [("truncated", None)]
    assert report["tokens"]["truncated"] == 1
    assert sum(report["tokens"]["histogram"].values()) == 61


def test_pairs_among_chats_are_an_error_and_two_chat_formats_a_warning(checked):
    pair = {"prompt": "a", "chosen": "b", "rejected": "c"}
    assert ("format", 61) in found(checked([*CHATS, pair])[1])
    assert found(checked([*CHATS, {"input": "a", "output": "b"}])[1]) == [("mixed_formats", 61)]


def test_rows_of_another_format_than_was_named_are_errors(checked):
    code, report = checked(CHATS, "--format", "alpaca")
    assert code == 1
    assert report["counts"]["format"] == 60


def test_rows_with_and_without_a_system_prompt_are_a_warning(checked):
    one = {"messages": [{"role": "system", "content": "Be short."}, *CHATS[0]["messages"]]}
    _, report = checked([one, *CHATS[1:]])
    assert found(report) == [("mixed_systems", None)]
    assert report["systems"]["most_common"] == [["Be short.", 1]]


def test_refusals_and_rejected_answers_are_counted(checked):
    refusal = {"prompt": "x", "completion": "I'm sorry, I can't help with that."}
    assert checked([*CHATS, refusal])[1]["refusals"] == 1
    assert (
        checked([{"prompt": "a", "chosen": f"b{n}", "rejected": "c"} for n in range(3)])[1]["negatives"] == 3
    )


def test_a_pair_of_the_same_answers_is_a_warning(checked):
    assert ("same_pair", 1) in found(checked([{"prompt": "a", "chosen": "b", "rejected": "b"}])[1])


def test_a_hundred_findings_of_a_rule_are_listed_and_all_are_counted(checked):
    _, report = checked(b"{x\n" * 250)
    assert len([one for one in report["findings"] if one["rule"] == "not_json"]) == 100
    assert report["counts"]["not_json"] == 250


def test_a_sample_is_written_for_a_person_and_nothing_over_it(checked, tmp_path, capsys):
    options = ("--sample", "4", "--sample-out", str(tmp_path / "read.md"))
    checked(CHATS, *options)
    text = (tmp_path / "read.md").read_text()
    assert text.count("## line ") == 4
    line = int(text.partition("## line ")[2].split()[0])
    assert CHATS[line - 1]["messages"][1]["content"] in text
    assert main(["data", "check", str(tmp_path / "train.jsonl"), *options]) == 1
    assert "give --force" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_one_line(capsys):
    assert main(["data", "check", "nowhere.jsonl"]) == 1
    assert (
        capsys.readouterr().err
        == "launcher: nowhere.jsonl is not a file; give the path of a JSONL, JSON, CSV or Parquet file, a folder or a glob\n"
    )


def test_every_rule_is_listed_with_its_reason(capsys):
    main(["data", "rules"])
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in listed] == [[name, rule.level] for name, rule in RULES.items()]
    assert all(len(line.split()) > 5 for line in listed)


def test_advice_goes_by_the_number_of_rows():
    def about(rows: int) -> str:
        counted = Part(rows=rows)
        counted.lines.extend(range(rows))
        counted.kinds["chat"] = rows
        return advise(counted)[0]

    assert "prompt" in about(5) and "prompt" in about(49) and "tone" in about(100) and "task" in about(1000)
    assert len({about(end) for end, _ in STEPS if end and end < 10_000}) == 4


def test_large_files_give_the_report_of_small_ones(checked, tmp_path):
    rows = [*CHATS, CHATS[5], chat(2000), {"messages": []}, *[chat(number) for number in range(3000, 3100)]]
    near = json.loads(json.dumps(chat(2000)))
    near["messages"][1]["content"] += " Quite."
    evaluation = [CHATS[9], chat(5000), {"prompt": "?", "completion": CHATS[11]["messages"][1]["content"]}]
    checked([*rows, near], evaluation=evaluation)
    small, large = (
        json.loads(
            as_json(
                check(
                    CheckOptions(
                        path=tmp_path / "train.jsonl", eval_path=tmp_path / "eval.jsonl", divided=sizes
                    )
                ).to_dict()
            )
        )
        for sizes in (Sizes(), Sizes(small=0, block=4096))
    )
    assert found(large) == found(small)
    assert {"duplicate", "near_duplicate", "eval_exact", "eval_overlap", "empty"} <= {
        rule for rule, _ in found(small)
    }
    assert {**large, "findings": None} == {**small, "findings": None}


def test_words_are_found_in_scripts_with_and_without_spaces():
    words = counting._WORD.findall("Don't stop: naïve — 42 Привет 你好, été".lower().encode())
    assert [word.decode() for word in words] == [
        "don",
        "t",
        "stop",
        "naïve",
        "42",
        "привет",
        "你",
        "好",
        "été",
    ]
