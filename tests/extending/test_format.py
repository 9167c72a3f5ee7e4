"""A row format in a package of somebody else's: one module, an entry point, and no line of this project changed."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.extending.foreign import install
from tests.support import preloaded
from tests.support.runs import Finished, environment

FORMAT = """
from launcher.data.fields import make_turn, plain_pairs, read_string
from launcher.formats.base import Format


def matches(row):
    return "q" in row and "a" in row


def read(row):
    return {"messages": [make_turn("user", read_string(row, "q")), make_turn("assistant", read_string(row, "a"))]}


def write(example):
    _, pairs = plain_pairs(example, "quiz")
    return {"q": pairs[0][0], "a": pairs[0][1]}


SPEC = Format(
    keys=("q", "a"),
    kind="chat",
    precedence=5,
    matches=matches,
    read=read,
    write=write,
    writes=("chat",),
    from_chat=True,
    example={"q": "2 + 2?", "a": "4"},
    shape='`{"q", "a"}`',
)
"""
QUIZ = [{"q": f"What is {number} + 1?", "a": f"It is {number + 1}."} for number in range(60)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("format")
    install(folder / "site", "my-quiz", {"my_quiz": FORMAT}, {"launcher.formats": {"quiz": "my_quiz"}})
    (folder / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUIZ))
    return folder


@pytest.fixture(scope="module")
def go(folder):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return preloaded.run(arguments, folder, environment(PYTHONPATH=str(folder / "site")), timeout_s=300)

    return run


def test_its_rows_are_checked_and_converted_both_ways(go, folder):
    report = json.loads(go("data", "check", "quiz.jsonl", "--json").stdout)
    assert report["formats"] == {"quiz": 60} and report["errors"] == 0
    for source, target, to in (
        ("quiz.jsonl", "chats.jsonl", "messages"),
        ("chats.jsonl", "back.csv", "quiz"),
    ):
        done = go("data", "convert", source, target, "--to", to)
        assert done.returncode == 0, done.stderr
    done = go("data", "convert", "back.csv", "back.jsonl", "--to", "quiz", "--format", "quiz")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in (folder / "back.jsonl").read_text().splitlines()] == QUIZ


def test_the_processes_that_check_a_large_file_know_it(go, folder):
    long = " ".join(f"word{number}" for number in range(200))
    with (folder / "large.jsonl").open("w") as file:
        for number in range(12_000):
            file.write(json.dumps({"q": f"{number} {long}", "a": str(number)}) + "\n")
    assert (folder / "large.jsonl").stat().st_size > 16 << 20
    report = json.loads(go("data", "check", "large.jsonl", "--json").stdout)
    assert report["formats"] == {"quiz": 12_000} and report["errors"] == 0


def test_a_key_that_it_does_not_have_is_reported_and_not_read(go, folder):
    (folder / "wrong.jsonl").write_text('{"q": "x", "a": "y", "aa": "z"}\n')
    report = json.loads(go("data", "check", "wrong.jsonl", "--json").stdout)
    assert report["errors"] == 0 and "keys that are not read, with their number of rows: aa (1)" in str(
        report["findings"]
    )


@pytest.mark.train
@pytest.mark.parametrize("named", ["auto", pytest.param("quiz", marks=pytest.mark.long)])
def test_a_run_trains_on_it(go, cache, named):
    given = (
        "+experiment=tiny", "cluster=local", "data.path=quiz.jsonl", "data.eval_path=null", f"data.format={named}",
        "trainer.max_steps=2", f"name=quiz_{named}",
    )  # fmt: skip
    assert go("plan", *given).returncode == 0
    assert go(*given, "dry_run=true").returncode == 0
    done = go(*given, f"cache_dir={cache}", "--json")
    assert done.returncode == 0, done.stderr
    run = Finished(Path(json.loads(done.stdout.splitlines()[0])["run_dir"]))
    assert len(run.losses) > 0
    assert json.loads(go("status", str(run.path), "--json").stdout)["state"] == "finished"
    assert go("report", str(run.path)).returncode == 0


def test_an_unknown_format_is_refused_with_the_foreign_one_among_the_known(go):
    done = go("+experiment=tiny", "data.path=quiz.jsonl", "data.format=quizz", "dry_run=true")
    assert done.returncode == 1 and "data.format=quizz must be one of auto, " in done.stderr
    assert ", quiz, " in done.stderr
