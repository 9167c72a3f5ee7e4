"""A run on tasks of lm-evaluation-harness, with task files and data on this machine. `make long-test` installs lm-eval."""

import json
import subprocess
from pathlib import Path

import pytest

from launcher.run import RunDir
from launcher.run.events.launching import TasksEvaluated
from launcher.status.state import read_status
from tests.support.runs import Finished, command, environment
from tests.support.shapes import check_printed
from tests.training.conftest import ANSWER

pytestmark = [pytest.mark.train, pytest.mark.long]

CHOICES = [ANSWER, "big and small", "one, two and ten", "left or right"]
COLOURS = """
task: colours
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: ""
metric_list: [{{metric: acc}}]
metadata: {{version: 3}}
"""
SAID = """
task: said
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{choices[answer]}}}}"
generation_kwargs: {{max_gen_toks: 24, until: ["\\n"]}}
metric_list: [{{metric: exact_match}}]
"""


def evaluate(run: Finished, folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command("evaluate", str(run.path), *words), cwd=folder, capture_output=True, text=True,
        env=environment(HF_HUB_OFFLINE="1", HF_DATASETS_CACHE=str(folder / "datasets")),
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    if "--json" in words:
        check_printed(["evaluate", *words], done.stdout)
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        {
            "question": "Which colours?",
            "choices": [*CHOICES[1 : n + 1], ANSWER, *CHOICES[n + 1 :]],
            "answer": n,
        }
        for n in range(4)
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "colours.yaml").write_text(COLOURS.format(data=data))
    (tmp_path / "said.yaml").write_text(SAID.format(data=data))
    return tmp_path


def test_the_trained_model_is_right_where_its_base_is_not(learned, folder):
    run, _ = learned
    words = ("--tasks", "colours.yaml,said.yaml", "--chat", "--json")
    found = json.loads(evaluate(run, folder, *words).stdout)
    scores = {(one["task"], one["metric"]): one for one in found["scores"]}
    assert scores["colours", "acc"]["tuned"] == scores["said", "exact_match"]["tuned"] == 1.0
    assert scores["colours", "acc"]["base"] < 1 and scores["said", "exact_match"]["base"] == 0
    assert (
        scores["colours", "acc"]["higher_is_better"] is True
        and scores["colours", "acc"]["base_stderr"] is not None
    )
    assert [(one["task"], one["rows"], one["in_training"]) for one in found["tasks"]] == [
        ("colours", 4, 0),
        ("said", 4, 0),
    ]
    assert found["tasks"][0]["version"] == "3" and found["not_compared"] is None
    (event,) = RunDir(run.path).read_events(TasksEvaluated)
    assert event.scores == found["scores"] and event.chat is True
    assert read_status(RunDir(run.path)).state.value == "finished"


def test_a_task_that_is_in_the_training_data_is_said_so(trained, folder):
    run = trained()
    facts = json.loads((run.path / "plan.json").read_text())["facts"]
    row = next(
        row for line in Path(facts["data_path"]).read_text().splitlines() if (row := json.loads(line))
        and len(str(row).split()) > 20
    )  # fmt: skip
    answer = row["messages"][-1]["content"]
    (folder / "rows.jsonl").write_text(
        json.dumps({"question": answer, "choices": CHOICES, "answer": 0}) + "\n"
    )
    done = evaluate(run, folder, "--tasks", "colours.yaml", "--no-base", "--checkpoint", "newest")
    assert "1 of 1 documents of colours share 13 consecutive words" in done.stderr
    assert "step_" in done.stdout and "acc" in done.stdout


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ("no_such_task", "no_such_task"),
        ("broken.yaml", "cannot be loaded"),
        ("gone.yaml", "gone.yaml is not a file"),
    ],
)
def test_a_task_that_cannot_be_loaded_is_one_line(trained, folder, tasks, said):
    (folder / "broken.yaml").write_text(COLOURS.format(data=folder / "missing.jsonl"))
    done = evaluate(trained(), folder, "--tasks", tasks, code=1)
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
