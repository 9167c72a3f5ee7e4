"""Tasks of lm-evaluation-harness: what is refused before it is loaded, and which of their texts are in the training data."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from launcher.__main__ import main
from launcher.after.tasks import parse_tasks
from launcher.data.contamination import shared_with
from launcher.data.reading import AS_IT_STANDS
from launcher.errors import DataError, UsageError
from launcher.report.facts import RunFacts
from launcher.report.tasks import tasks
from launcher.run.events.launching import TasksEvaluated
from tests.support.paths import ROOT

LONG = "the quick brown fox jumps over the lazy dog and then it runs away from all the others"


def test_names_and_files_are_told_apart_and_files_become_absolute(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("task: mine")
    assert parse_tasks("hellaswag, mine.yaml,") == ["hellaswag", str(tmp_path / "mine.yaml")]
    with pytest.raises(DataError, match=r"other\.yaml is not a file"):
        parse_tasks("other.yaml")
    with pytest.raises(UsageError, match="--tasks is empty"):
        parse_tasks(",")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "x.jsonl", "--tasks", "a"], "not allowed with argument"),
        ([], "one of the arguments --data --tasks is required"),
        (["--data", "x.jsonl", "--chat"], "are for --tasks"),
        (["--tasks", "a", "--metrics", "loss"], "a task has metrics of its own"),
        (["--tasks", "a", "--max-rows", "0"], "--max-rows 0 must be at least 1"),
        (["--tasks", "a", "--few-shot", "-1"], "--few-shot -1 must be at least 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: list[str], said: str, capsys):
    assert main(["evaluate", *words]) == 2
    assert said in capsys.readouterr().err


def test_without_lm_eval_the_pip_line_is_said_before_a_run_is_looked_for(tmp_path: Path):
    packages = tmp_path / "packages"
    packages.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.name != "lm_eval":
            (packages / path.name).symlink_to(path)
    done = subprocess.run(
        [sys.executable, "-S", "-m", "launcher", "evaluate", "none", "--tasks", "hellaswag"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{ROOT}:{packages}"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "pip install lm-eval" in done.stderr


@pytest.mark.parametrize("rows", [3, 6000])
def test_a_text_that_shares_thirteen_words_with_a_training_row_is_found(tmp_path: Path, rows: int):
    data = tmp_path / "train.jsonl"
    chats = [
        {
            "messages": [
                {"role": "user", "content": f"Question {n} of many?"},
                {"role": "assistant", "content": f"Number {n}, {n * n}."},
            ]
        }
        for n in range(rows)
    ]
    chats[1]["messages"][1]["content"] = f"Listen: {LONG.upper()}!"
    data.write_text("".join(json.dumps(row) + "\n" for row in chats))
    texts = [
        "",
        f"Complete: {LONG}",
        "the quick brown fox",
        "Question 2 of many? Number 2, 4.",
        LONG.replace("lazy", "busy"),
    ]
    assert shared_with(texts, str(data), AS_IT_STANDS) == {1}
    assert shared_with([""], str(data), AS_IT_STANDS) == set()


def facts(*events: TasksEvaluated) -> RunFacts:
    empty: Any = {}
    return RunFacts(
        name="x", run_dir="/x", plan=empty, events=events, metrics=(), data_check=(), status=empty, overrides=(), export=(),
        written="", version="",
    )  # fmt: skip


def test_the_report_has_the_newest_scores_of_each_task_and_weights():
    def event(value: float, checkpoint: str | None = None) -> TasksEvaluated:
        score = {
            "task": "t",
            "metric": "acc",
            "filter": "none",
            "tuned": value,
            "tuned_stderr": 0.1,
            "base": None,
        }
        return TasksEvaluated(
            attempt=1,
            checkpoint=checkpoint,
            chat=False,
            scores=[score],
            tasks=[{"task": "t", "rows": 9, "in_training": 2}],
        )

    assert tasks(facts()) is None
    section = tasks(facts(event(0.25), event(0.5, "step_00000004"), event(0.75)))
    assert section
    (_, scores), (_, documents) = section.tables
    assert [(row[3], row[5], row[6]) for row in scores.rows] == [
        ("finished model", "0.7500 ± 0.1000", None),
        ("step_00000004", "0.5000 ± 0.1000", None),
    ]
    assert documents.rows[0][-1] == 2
