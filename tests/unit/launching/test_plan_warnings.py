"""What is said about a run before it is submitted: how much it trains, and what is doubtful about that."""

import json
import re
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.launching.compose import compose
from launcher.launching.summary import MOST_LINES

ROW = {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good evening."}]}
SAMPLE = "trains on the shipped sample"
FEW, PACKED = "few steps: ", "trainer.packing=true joins the"


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of rows in mine.jsonl of the current folder."""
    monkeypatch.chdir(tmp_path)
    turns = [{**ROW["messages"][0], "content": f"Question {at}: what is {at} times 3?"} for at in range(264)]
    text = "".join(json.dumps({"messages": [turn, ROW["messages"][1]]}) + "\n" for turn in turns)
    Path("mine.jsonl").write_text(text)
    return len(turns)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["+experiment=llama8b_lora"], {SAMPLE, PACKED, FEW}),
        (["+experiment=llama70b_qlora"], {SAMPLE, PACKED, FEW}),
        (["+experiment=llama8b_lora", "data=quickstart", "trainer.packing=false"], {FEW}),
        (["+experiment=quickstart"], set()),
        (["+experiment=llama8b_lora", "data.path=mine.jsonl", "trainer.max_steps=10"], {PACKED}),
        (["+experiment=llama8b_lora", "data.path=mine.jsonl", "resources.nodes=4"], {PACKED, FEW}),
        (["+experiment=llama8b_lora", "data.path=mine.jsonl", "trainer.packing=false", "batch.global_batch_size=8"], set()),
        (["+experiment=tiny"], {FEW}),
    ],
)  # fmt: skip
def test_shipped_data_and_too_few_steps_are_the_first_warnings(rows, capfd, typed: list[str], said: set[str]):
    assert main(["plan", "cluster=slurm", "--json", *typed]) == 0
    out, err = capfd.readouterr()
    warnings = [line.removeprefix("launcher: warning: ") for line in err.splitlines()]
    found = {mark for mark in (SAMPLE, PACKED, FEW) if any(mark in line for line in warnings[: len(said)])}
    assert found == said
    assert not any(mark in line for mark in (SAMPLE, PACKED, FEW) for line in warnings[len(said) :])
    assert json.loads(out)["warnings"] == warnings


def test_a_plan_says_rows_tokens_epochs_steps_and_time(rows, capfd):
    typed = ["+experiment=llama8b_lora", "cluster=slurm", "data.path=mine.jsonl", "trainer.packing=false"]
    assert main(["plan", *typed]) == 0
    out, _ = capfd.readouterr()
    assert re.search(
        rf"^data +{rows} rows, about [\d,]+ tokens, in \S+/mine.jsonl; no evaluation file$", out, re.M
    )
    told = r"^training +2 epochs = 9 steps of 64 sequences, in about [\d.]+ \w+ \(estimated\)$"
    assert re.search(told, out, re.M)
    assert main(["plan", *typed, "--json"]) == 0
    training = json.loads(capfd.readouterr().out)["training"]
    assert {name: training[name] for name in ("rows", "epochs", "steps")} == {
        "rows": rows,
        "epochs": 2.0,
        "steps": 9,
    }
    assert training["tokens"] > rows and training["seconds"] > 0 and training["steps_estimated"] is False


def test_a_sweep_says_what_its_trials_train_on(rows, capfd):
    typed = ["-m", "+experiment=tiny", "cluster=slurm", "data.path=mine.jsonl", "seed=1,2", "dry_run=true"]
    assert main(typed) == 0
    out, err = capfd.readouterr()
    assert (
        f"data      {rows} rows, about " in out
        and "training  the first: " in out
        and " = 8 steps of 4 " in out
    )
    assert FEW in err.splitlines()[0] and "the shipped evaluation file is not used" in err
    assert main([*typed, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["training"]["rows"] == rows


def test_rows_that_nobody_counted_are_not_made_up(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "+experiment=llama8b_lora", "cluster=slurm", "data.path=hub:owner/name"]) == 0
    assert "training  2 epochs in steps of 64 sequences; the ranks count them: " in capfd.readouterr().out


def test_own_data_leaves_out_the_shipped_evaluation_file_and_says_so(rows, capfd):
    (composed,) = compose(["+experiment=tiny", "data.path=mine.jsonl"])
    assert composed.config.data.eval_path is None
    assert main(["+experiment=tiny", "cluster=slurm", "data.path=mine.jsonl", "dry_run=true"]) == 0
    assert "the shipped evaluation file is not used" in capfd.readouterr().out
    for typed in (["data.eval_path=mine.jsonl"], ["data=quickstart"], []):
        (composed,) = compose(["+experiment=tiny", *typed])
        assert composed.config.data.eval_path is not None and not composed.evaluation_left_out


def test_a_summary_has_at_most_14_lines_and_v_shows_the_rest(rows, capfd):
    typed = [
        "+experiment=llama70b_qlora",
        "cluster=slurm",
        "data.path=mine.jsonl",
        "tracker=wandb",
        "dry_run=true",
    ]
    assert main(typed) == 0
    short = capfd.readouterr().out.splitlines()
    assert len(short) <= MOST_LINES
    (saves,) = [line for line in short if line.startswith("saves")]
    assert re.fullmatch(r"saves +every 100 steps", saves)
    assert main([*typed, "-v"]) == 0
    long = capfd.readouterr().out
    assert "accumulation" in long and "effective training time" in long and "GPU-hours" in long
