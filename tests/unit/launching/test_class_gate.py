"""The classes of a run, fixed before it is queued: names, order, weights, and rows that are refused with their line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.__main__ import main

Planned = Callable[..., dict[str, Any]]
TYPED = (
    "+experiment=tiny",
    "cluster=local",
    "trainer=classify",
    "data.path=rows.jsonl",
    "data.eval_path=null",
)


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Planned:
    """What `plan --json` prints, in a folder with rows.jsonl and eval.jsonl."""
    monkeypatch.chdir(tmp_path)

    def planned(*overrides: str) -> dict[str, Any]:
        main(["plan", *TYPED, *overrides, "--json"])
        return json.loads(capsys.readouterr().out)

    return planned


def write(path: str, **counts: int) -> None:
    rows = [
        {"text": f"{label} {at}", "label": label} for label, count in counts.items() for at in range(count)
    ]
    Path(path).write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def refusal(made: dict[str, Any]) -> str:
    return made["error"]["message"]


def test_the_classes_are_the_labels_of_the_rows_sorted_and_the_plan_holds_them(planned):
    write("rows.jsonl", lost=3, broken=5)
    made = planned()
    assert made["classes"] == {"names": ["broken", "lost"], "weights": None, "multi_label": False}
    assert made["facts"]["classes"] == {"broken": 5, "lost": 3}
    assert "each row has one of 2 classes: broken (5 rows), lost (3 rows)" in made["notes"]


def test_labels_that_are_given_keep_their_order(planned):
    write("rows.jsonl", lost=3, broken=5)
    assert planned("trainer.labels=[lost,broken,late]")["classes"]["names"] == ["lost", "broken", "late"]


def test_a_label_that_is_not_among_the_given_ones_is_refused_with_its_line(planned):
    write("rows.jsonl", lost=3, broken=5)
    said = refusal(planned("trainer.labels=[lost,late]"))
    assert (
        "rows.jsonl, line 4: label 'broken' (5 training rows) is not one of trainer.labels=[lost, late]"
        in said
    )


def test_an_evaluation_label_that_no_training_row_has_is_refused_with_its_line(planned):
    write("rows.jsonl", lost=3, broken=5)
    write("eval.jsonl", lost=1, late=2)
    said = refusal(planned("data.eval_path=eval.jsonl"))
    assert (
        "eval.jsonl, line 2: label 'late' (2 evaluation rows) is not one of the classes of the training rows"
        in said
    )
    assert planned("data.eval_path=eval.jsonl", "trainer.labels=[broken,late,lost]")["classes"]["names"]


def test_balanced_weights_make_all_classes_count_equally(planned):
    write("rows.jsonl", lost=2, broken=6)
    made = planned("trainer.class_weight=balanced")
    assert made["classes"]["weights"] == pytest.approx([8 / (2 * 6), 8 / (2 * 2)], abs=1e-6)
    assert "broken (6 rows, weight 0.667), lost (2 rows, weight 2)" in made["notes"][0]


def test_rows_with_several_classes_need_multi_label(planned):
    rows = [{"text": f"a {n}", "labels": [["late"], ["late", "lost"], []][n % 3]} for n in range(9)]
    Path("rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert "rows.jsonl, line 2: the row has several classes or none, as 6 rows have" in refusal(planned())
    made = planned("trainer.multi_label=true", "trainer.class_weight=balanced")
    assert made["classes"] == {"names": ["late", "lost"], "weights": [0.5, 2.0], "multi_label": True}


def test_data_that_is_not_read_before_the_job_needs_the_names(planned):
    write("rows.jsonl", lost=3, broken=5)
    assert "name the classes: trainer.labels=[...]" in refusal(planned("data.check=off"))
    given = ("data.check=off", "trainer.labels=[lost,broken]")
    assert planned(*given)["classes"]["names"] == ["lost", "broken"]
    assert "class_weight=balanced needs the rows" in refusal(planned(*given, "trainer.class_weight=balanced"))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("trainer.labels=[a,a]", "must name each class once"),
        ("trainer.labels=[a]", "must name at least 2 classes"),
        ("trainer.class_weight=equal", "trainer.class_weight=equal must be balanced"),
        ("trainer.packing=true", "trainer.packing=True is not used by trainer.kind=classify"),
        (
            "trainer.activation_offloading=true",
            "trainer.activation_offloading=true belongs to trl's trainers",
        ),
    ],
)
def test_what_a_classifier_does_not_take_is_refused_in_one_line(planned, typed: str, said: str):
    write("rows.jsonl", lost=3, broken=5)
    assert said in refusal(planned(typed))


def test_a_classified_file_under_another_method_names_the_ways_out(planned):
    write("rows.jsonl", lost=3, broken=5)
    said = refusal(planned("trainer=pretrain"))
    assert "use trainer=classify; to train on the text alone: data.drop=[label]" in said
    assert planned("trainer=pretrain", "data.drop=[label]")["trainer"] == "pretrain"
