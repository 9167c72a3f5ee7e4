"""`launcher init` writes a file that plans at once, for every method, and overwrites nothing."""

import json
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from launcher.__main__ import main
from launcher.launching.compose import compose
from launcher.launching.planning import prepare
from launcher.methods.registry import METHODS, find_method

ROWS: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]},
    "pair": {"prompt": "Why?", "chosen": "Because.", "rejected": "No."},
    "labelled": {"prompt": "Why?", "completion": "Because.", "label": True},
    "prompt": {"prompt": "Why?"},
    "text": {"text": "Rain fell on the sea."},
    "classified": {"text": "Rain fell on the sea.", "label": ""},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rewards_here.py").write_text("def score(**kwargs):\n    return []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def _other(value: Any, number: int) -> Any:
    """The value with texts of its own for each number, so that rows are not near copies."""
    if isinstance(value, str):
        words = random.Random(f"{number} {value}").choices(WORDS, k=12)
        return " ".join(words)
    if isinstance(value, list):
        return [{**turn, "content": _other(turn["content"], number)} for turn in value]
    return value


WORDS = [f"{first}{last}" for first in "bdfgklmnprst" for last in ("ol", "ain", "et", "ust", "ing", "ore")]


def test_what_init_writes_requests_cores_from_slurm(folder, capsys):
    (folder / "t.csv").write_text(
        "question,answer\n" + "".join(f"What is {n}?,Number {n}\n" for n in range(9))
    )
    assert main(["init", "--model", "llama3_1_8b", "--data", "t.csv", "--gpus", "4"]) == 0
    assert main(["plan", "--config", "my_run.yaml", "cluster=slurm"]) == 0
    assert "cpus_per_gpu" not in capsys.readouterr().err


def test_cores_are_those_that_a_node_of_the_site_has_for_each_gpu(folder, monkeypatch):
    (folder / "t.csv").write_text(
        "question,answer\n" + "".join(f"What is {n}?,Number {n}\n" for n in range(9))
    )
    bin = folder / "bin"
    bin.mkdir()
    says = "cpu*|up|1:00:00|9|128|500000|(null)|(null)\ngpu|up|2:00:00|4|64+|500000|gpu:a100:4|(null)\n"
    for name, does in (("sbatch", "echo slurm 24"), ("sinfo", f"cat << 'X'\n{says}X")):
        (bin / name).write_text(f"#!/bin/sh\n{does}\n")
        (bin / name).chmod(0o755)
    (folder / "slurm.conf").write_text("ClusterName=x\n")
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    monkeypatch.setenv("PATH", f"{bin}:/usr/bin:/bin")
    assert main(["init", "--model", "llama3_1_8b", "--data", "t.csv"]) == 0
    assert (
        "cpus_per_gpu: 16  # a node of partition gpu has 64 cores and 4 GPUs"
        in Path("my_run.yaml").read_text()
    )


@pytest.mark.parametrize(("rows", "gpus", "batch"), [(24, 1, 6), (1000, 1, 32), (24, 4, 4), (5, 8, 8)])
def test_a_small_file_gets_a_batch_that_leaves_it_steps(folder, rows: int, gpus: int, batch: int):
    (folder / "t.jsonl").write_text(
        "".join(f'{{"prompt": "What is {n}?", "completion": "Number {n}"}}\n' for n in range(rows))
    )
    assert main(["init", "--model", "llama3_1_8b", "--data", "t.jsonl", "--gpus", str(gpus)]) == 0
    (composed,) = compose(["--config", "my_run.yaml"])
    assert composed.config.batch.global_batch_size == batch


def test_how_the_rows_are_read_is_written_into_the_file(folder: Path, capsys: pytest.CaptureFixture[str]):
    rows = (
        "".join(f"{_other('frage', n)};{_other('antwort', n)};x\n" for n in range(98))
        + "only a question;;x\n" * 2
    )
    (folder / "my rows.csv").write_text(f"frage;antwort;seite\n{rows}")
    words = ["init", "--model", "tiny", "--data", "my rows.csv", "-o", "my run.yaml"]
    assert main(words) == 1
    assert (
        "data check 'my rows.csv' lists every fault, and --columns, --on-bad-row" in capsys.readouterr().err
    )
    words += ["--columns", "prompt=frage,completion=antwort", "--drop", "seite", "--on-bad-row", "skip"]
    assert main([*words, "--max-bad-share", "0.02"]) == 0
    assert capsys.readouterr().out.endswith("next  python -m launcher plan --config 'my run.yaml'\n")
    (composed,) = compose(["--config", "my run.yaml"])
    data = composed.config.data
    assert (data.columns, data.drop) == ({"prompt": "frage", "completion": "antwort"}, ["seite"])
    assert (data.on_bad_row.name, data.max_bad_share) == ("skip", 0.02)
    assert main(["plan", "--config", "my run.yaml"]) == 0


@pytest.mark.parametrize(("rows", "packs"), [(100, False), (3000, True)])
def test_a_small_file_is_not_packed_into_too_few_steps(
    folder: Path, capsys: pytest.CaptureFixture[str], rows: int, packs: bool
):
    lines = [json.dumps({"prompt": _other("q", n), "completion": _other("a", n)}) for n in range(rows)]
    (folder / "t.jsonl").write_text("\n".join(lines))
    assert main(["init", "--model", "llama3_1_8b", "--data", "t.jsonl"]) == 0
    assert compose(["--config", "my_run.yaml"])[0].config.trainer.packing is packs
    assert main(["plan", "--config", "my_run.yaml", "cluster=slurm"]) == 0
    assert "few steps" not in capsys.readouterr().err


@pytest.mark.parametrize("method", METHODS.own_names())
def test_what_init_writes_plans_at_once(folder, capsys, method: str):
    row = ROWS[find_method(method).learns_from[0]]
    rows = [
        {
            key: ["yes", "no"][number % 2] if value == "" else _other(value, number)
            for key, value in row.items()
        }
        for number in range(60)
    ]
    (folder / "t.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    words = [
        "--model",
        "tiny",
        "--data",
        "t.jsonl",
        "--method",
        method,
        "--gpus",
        "3",
        "--reward",
        "rewards_here.score",
        "--teacher",
        "org/teacher",
    ]
    assert main(["init", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["method"] == method
    composed = compose(["--config", "my_run.yaml"])[0]
    assert composed.config.trainer.kind == method
    plan = prepare(composed, datetime(2026, 1, 1)).plan
    assert (plan.topology.world_size, composed.config.data.eval_fraction) == (3, 0.05)


@pytest.mark.parametrize(
    ("kind", "method"), [("chat", "sft"), ("pair", "dpo"), ("labelled", "kto"), ("text", "pretrain")]
)
def test_the_method_follows_from_the_rows(folder, capsys, kind: str, method: str):
    (folder / "t.jsonl").write_text(f"{json.dumps(ROWS[kind])}\n" * 2)
    assert main(["init", "--model", "org/some-model", "--data", "t.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["method"] == method
    assert "name_or_path: org/some-model" in Path("my_run.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--model", "tiny"], 2, "init needs --data"),
        (["--model", "tiny", "--data", "no.jsonl"], 1, "--data no.jsonl is not a file"),
        (["--model", "tiny", "--data", "me/rows"], 1, "or hub:me/rows for a data set of the hub"),
        (["--model", "tinny", "--data", "t.jsonl"], 1, "did you mean --model tiny?"),
        (["--model", "./absent", "--data", "t.jsonl"], 1, "--model ./absent is not a folder here"),
        (["--model", "https://huggingface.co/me/m", "--data", "t.jsonl"], 1, "write --model me/m"),
        (["--model", "me/m@abc", "--data", "t.jsonl"], 1, "add `revision: abc` below model: in my_run.yaml"),
        (["--model", "https://huggingface.co/me/m/tree/v2", "--data", "t.jsonl", "-o", "x.yaml"], 1, "below model: in x.yaml"),
        (["--model", "tiny", "--data", "t.jsonl", "--method", "dpo"], 1, "holds chats, but trainer.kind=dpo"),
        (["--model", "tiny", "--data", "t.jsonl", "--method", "dqo"], 1, "did you mean dpo?"),
        (["--model", "tiny", "--data", "bad.jsonl"], 1, "lists every fault"),
        (["--model", "tiny", "--data", "t.jsonl", "--time", "soon"], 1, "soon"),
        (["--model", "tiny", "--data", "t.jsonl", "--gpus", "0"], 2, "--gpus"),
        (["--model", "tiny", "--data", "t.jsonl", "-o", "t.jsonl"], 2, "is not overwritten"),
        (["--model", "tiny", "--data", "p.jsonl"], 2, "--reward MODULE.FUNCTION"),
    ],
)  # fmt: skip
def test_init_refuses_in_one_line_and_writes_nothing(folder, capsys, words: list[str], code: int, said: str):
    (folder / "t.jsonl").write_text(f"{json.dumps(ROWS['chat'])}\n")
    (folder / "p.jsonl").write_text(f"{json.dumps(ROWS['prompt'])}\n")
    (folder / "bad.jsonl").write_text("{]\n")
    before = sorted(folder.iterdir())
    assert main(["init", *words]) == code
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert sorted(folder.iterdir()) == before
