"""Benchmark tasks whose documents are in the training data: told by `data check --tasks`, at a launch, and after training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.__main__ import main
from launcher.data.check import CheckOptions, check
from launcher.data.contamination import shared_with
from launcher.data.reading import AS_IT_STANDS
from launcher.data.task_documents import RENDERED, WHOLE, read_task
from launcher.errors import DataError

LONG = "the keeper of the northern lighthouse counts every ship that passes the strait before dawn"
DOCUMENTS = [
    {"question": "Which colour has the sky?", "choices": ["red", "blue"], "answer": 1, "note": LONG},
    {"question": f"Complete: {LONG}", "choices": ["and sleeps", "and writes"], "answer": 1, "note": "-"},
    {"question": "Which bird hoots?", "choices": ["owl", "hen"], "answer": 0, "note": "-"},
]
TASK = """task: colours
dataset_path: json
dataset_kwargs: {data_files: {train: nowhere.jsonl, test: DOCUMENTS}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
"""


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., Path]:
    """Writes documents, a task and training rows, of which row 3 has the words of document 2."""

    def files(task: str = TASK, rows: int = 5) -> Path:
        (tmp_path / "documents.jsonl").write_text("".join(json.dumps(one) + "\n" for one in DOCUMENTS))
        (tmp_path / "task.yaml").write_text(task.replace("DOCUMENTS", str(tmp_path / "documents.jsonl")))
        chats = [
            {"question": f"Question {n} of {rows}?", "answer": f"Number {n}, {n * n}."} for n in range(rows)
        ]
        chats[2]["answer"] = f"Listen: {LONG.upper()}!"
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chats))
        return tmp_path

    return files


def test_a_task_is_read_as_its_templates_make_question_and_answer(files):
    read = read_task(str(files() / "task.yaml"))
    assert (read.task, read.matched_on) == ("colours", RENDERED)
    assert read.texts == (
        "Which colour has the sky? blue", f"Complete: {LONG} and writes", "Which bird hoots? owl",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        ('doc_to_text: question\ndoc_to_choice: choices\ndoc_to_target: answer', "Which colour has the sky? blue"),
        ('doc_to_text: question\ndoc_to_choice: ["no", "yes"]\ndoc_to_target: answer', "Which colour has the sky? yes"),
        ('doc_to_text: question\ndoc_to_choice: {a: "no", b: "yes"}\ndoc_to_target: answer', "Which colour has the sky? yes"),
        ('doc_to_text: "Q: {{question|upper}}"\ndoc_to_target: "{{choices}}"', "Q: WHICH COLOUR HAS THE SKY? red blue"),
        ('doc_to_text: question\ndoc_to_target: "{{choices[answer]}}"', "Which colour has the sky? blue"),
    ],
)  # fmt: skip
def test_fields_templates_and_choices_are_read_as_lm_eval_reads_them(files, settings: str, first: str):
    head = TASK.partition("doc_to_text")[0]
    read = read_task(str(files(head + settings + "\n") / "task.yaml"))
    assert (read.matched_on, read.texts[0]) == (RENDERED, first)


@pytest.mark.parametrize(
    "change",
    [
        ('"{{question}}"', "!function utils.question"),
        ("output_type", "process_docs: !function utils.more\noutput_type"),
        ('"{{question}}"', '"{{of_another_name}}"'),
    ],
)
def test_every_text_is_compared_where_only_the_tasks_functions_can_tell(files, change: tuple[str, str]):
    read = read_task(str(files(TASK.replace(*change)) / "task.yaml"))
    assert read.matched_on == WHOLE
    assert read.texts[0] == f"Which colour has the sky? red blue {LONG}"


def test_a_task_has_the_values_of_the_file_that_it_includes(files):
    folder = files()
    (folder / "own.yaml").write_text("include: task.yaml\ntask: hues\n")
    read = read_task(str(folder / "own.yaml"))
    assert read.task == "hues" and len(read.texts) == 3
    assert read.files == tuple(str(folder / name) for name in ("own.yaml", "task.yaml", "documents.jsonl"))


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("task: x\ndataset_path: hellaswag\n", "are not local files (dataset_path: hellaswag)"),
        ("group: x\ntask: [a, b]\n", "names a group of tasks; give the file of each"),
        (
            TASK.replace("test_split: test", "test_split: dev"),
            "no file of data_files (train, test) is the test_split",
        ),
        ("include: task.yaml\n", "includes itself"),
        ("- a\n", "is not a task"),
        ("a: [\n", "cannot be read as a task"),
        (TASK.replace("DOCUMENTS", "missing.jsonl"), "missing.jsonl"),
    ],
)
def test_a_task_without_local_documents_is_refused_with_a_way_out(files, task: str, said: str):
    with pytest.raises(DataError) as refusal:
        read_task(str(files(task) / "task.yaml"))
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("rows", [5, 6000])
@pytest.mark.parametrize(("name", "documents"), [("task.yaml", {2}), ("documents.jsonl", {1, 2})])
def test_the_check_names_the_training_row_of_each_document(files, rows: int, name: str, documents: set[int]):
    folder = files(rows=rows)
    report = check(CheckOptions(path=folder / "train.jsonl", tasks=(str(folder / name),)))
    found = [(one.line, one.message) for one in report.findings if one.rule == "task_overlap"]
    assert [line for line, _ in found] == [3] * len(documents)
    assert all(any(f"document {number} of" in message for _, message in found) for number in documents)
    (task,) = report.to_dict()["tasks"]
    assert (task["documents"], task["in_training"]) == (3, len(documents))


def test_tasks_and_an_evaluation_file_are_told_apart(files):
    folder = files()
    (folder / "eval.jsonl").write_text(json.dumps({"question": "Well?", "answer": f"So: {LONG}"}) + "\n")
    report = check(
        CheckOptions(
            path=folder / "train.jsonl",
            eval_path=folder / "eval.jsonl",
            tasks=(str(folder / "documents.jsonl"), str(folder / "task.yaml")),
        )
    )
    assert report.part.counts["eval_overlap"] == 1
    assert [one["in_training"] for one in report.tasks] == [2, 1]


def test_before_and_after_training_the_same_documents_are_found(files):
    folder = files()
    task = read_task(str(folder / "task.yaml"))
    assert shared_with(task.texts, str(folder / "train.jsonl"), AS_IT_STANDS) == {1}


def test_the_command_prints_the_task_and_refuses_a_name(files, capsys):
    folder = files()
    train = str(folder / "train.jsonl")
    assert main(["data", "check", train, "--tasks", str(folder / "task.yaml")]) == 0
    out = capsys.readouterr().out
    assert (
        "1 of 3 documents share 13 consecutive words with a training row (question and answer compared)"
        in out
    )
    assert main(["data", "check", train, "--tasks", "hellaswag"]) == 1
    assert (
        "--tasks hellaswag is not a file; give a task's YAML file or a file of its documents"
        in capsys.readouterr().err
    )


def test_a_launch_tells_what_its_evaluation_job_would_measure(files, compose):
    from launcher.launching.data_gate import check_data, data_warnings

    folder = files()
    typed = (
        "+experiment=tiny", "data.eval_path=null", f"data.path={folder}/train.jsonl", f"cache_dir={folder}/cache",
        f"eval_job={{every: 100, tasks: [{folder}/task.yaml, hellaswag]}}",
    )  # fmt: skip

    def told() -> list[str]:
        found: list[Any] = check_data(compose(*typed))
        return [one for one in data_warnings(found) if "[task_overlap]" in one]

    assert [one.rpartition("/")[2] for one in told()] == [
        "train.jsonl, line 3: shares 13 consecutive words with document 2 of colours; remove the row [task_overlap]"
    ]
    (folder / "documents.jsonl").write_text(json.dumps({**DOCUMENTS[0], "question": "What?"}) + "\n")
    assert told() == []
