"""Tokens that are made ahead of a run are those that the run looks for, whoever encodes them."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from launcher.__main__ import main
from launcher.after.tokenize import plan_tokens, tokenize
from launcher.data.kinds import Example
from launcher.errors import DataError
from launcher.launching.compose import compose
from launcher.launching.planning import prepare
from launcher.output import plain
from launcher.protocol.work.requests import MakeTokens
from launcher.protocol.work.results import Tokenized
from launcher.run.events.ranks import Data, Tokenizing
from launcher.train.data.ahead import answer
from launcher.train.data.encoders import ALONE, Encoders
from launcher.train.data.shared import Shared
from launcher.train.heartbeat import Heartbeat
from launcher.train.methods.parts import RowParts, make_rows
from launcher.train.model import load_tokenizer
from tests.support.runs import Finished, launch
from tests.support.shapes import check_printed, differences

ROWS = {
    "chats": [
        {"messages": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": f"It is {n}."}]}
        for n in range(60)
    ],
    "more": [
        {"messages": [{"role": "user", "content": f"Name {n}."}, {"role": "assistant", "content": "A name."}]}
        for n in range(20)
    ],
    "texts": [{"text": f"Text number {n} is a long one. " * 30} for n in range(20)],
    "pairs": [{"prompt": f"Say {n}.", "chosen": f"{n}.", "rejected": f"Not {n}."} for n in range(20)],
}  # fmt: skip
RUNS = {
    "packed, with another template, a new token and rows held out": (
        "data.path=chats.jsonl data.eval_fraction=0.2 trainer.packing=true model.chat_template=chatml "
        "model.added_tokens=['<tool>']"
    ),
    "a mixture with an evaluation file": (
        "data.path=null data.sources=[{path: chats.jsonl, weight: 1.5}, {path: more.jsonl}] data.eval_path=more.jsonl"
    ),
    "texts that are split": "trainer=pretrain data.path=texts.jsonl model.max_length=128 data.max_samples=15",
    "pairs with answers to other prompts": "trainer=kto data.path=pairs.jsonl batch.micro_batch_size=2",
}


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """The arguments of a launch, in a folder with data."""
    monkeypatch.chdir(tmp_path)
    for name, rows in ROWS.items():
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = ["+experiment=tiny", "cluster=local", "cache_dir=cache"]
    return lambda words: [*plain, *_split(words)]


def _split(words: str) -> Iterator[str]:
    """Words at blanks that no bracket holds."""
    depth, word = 0, ""
    for character in f"{words} ":
        depth += (character in "[{") - (character in "]}")
        if character == " " and not depth:
            yield word
            word = ""
        else:
            word += character


def ahead(words: list[str], workers: int) -> Tokenized:
    """What data tokenize finds or makes, in this process."""
    composed, plan = plan_tokens(compose(words)[0], datetime.now())
    config = OmegaConf.to_yaml(composed.cfg, resolve=True)
    request = MakeTokens(config=config, facts=plan.to_dict()["facts"], workers=workers)
    return answer(request, lambda _: None)


@pytest.mark.parametrize("words", RUNS.values(), ids=RUNS)
def test_a_run_finds_the_tokens_and_makes_none(typed, words: str):
    made = ahead(typed(words), workers=2)
    assert all(one["tokenized"] for one in made.sets)
    composed = compose(typed(words))[0]
    prepared = prepare(composed, datetime.now())
    run, plan = prepared.run, prepared.plan
    run.path.mkdir(parents=True)
    config = composed.config
    make_rows(
        RowParts(
            config=config,
            facts=plan.facts,
            tokenizer=load_tokenizer(config.model, plan.facts, config.seed),
            shared=Shared(run, plan.facts.cache_dir, 1, 0, Heartbeat()),
        )
    )
    found = run.read_events(Data)
    assert not run.read_events(Tokenizing)
    assert [event.folder for event in found] == [one["folder"] for one in made.sets]
    assert not any(event.tokenized for event in found)


def test_the_rows_do_not_depend_on_the_number_of_processes(typed):
    words = typed(RUNS["a mixture with an evaluation file"])
    several = [Path(one["folder"], "rows.arrow").read_bytes() for one in ahead(words, workers=3).sets]
    alone = ahead([*words, "cache_dir=other"], workers=1).sets
    assert [Path(one["folder"], "rows.arrow").read_bytes() for one in alone] == several


def test_what_was_made_is_said_in_rows_of_data_and_a_plan_says_that_it_is_there(
    typed, capsys: pytest.CaptureFixture[str]
):
    words = typed(RUNS["packed, with another template, a new token and rows held out"])
    there = "the tokens are already in the cache: train ("
    assert main(["plan", *words]) == 0
    assert there not in capsys.readouterr().out
    assert main(["data", "tokenize", *words]) == 0
    said = capsys.readouterr().out
    assert "train  48 rows of data, packed into " in said and "eval   12 rows of data, packed into " in said
    assert main(["plan", *words]) == 0
    assert there in capsys.readouterr().out
    assert main(["plan", *words, "trainer.learning_rate=1e-5"]) == 0
    assert there in capsys.readouterr().out
    for other in ("model.max_length=128", "data.eval_fraction=0.3", "seed=5"):
        assert main(["plan", *words, other]) == 0
        assert there not in capsys.readouterr().out
    with Path("chats.jsonl").open("a") as file:
        file.write(json.dumps(ROWS["more"][0]) + "\n")
    assert main(["plan", *words]) == 0
    assert there not in capsys.readouterr().out


@pytest.fixture
def queued(typed, commands, monkeypatch: pytest.MonkeyPatch, capsys) -> Callable[..., tuple[int, str]]:
    """Exit code and output of data tokenize --queue, where an sbatch accepts every script."""
    monkeypatch.setenv("PATH", f"{commands('echo 4711')}:{os.environ['PATH']}")

    def run(*words: str) -> tuple[int, str]:
        arguments = [*typed("data.path=chats.jsonl cluster=slurm"), "--queue", *words]
        code = main(["data", "tokenize", *arguments])
        out = capsys.readouterr()
        return code, out.out + out.err

    return run


def test_the_command_is_queued_as_a_job_without_gpus(queued, tmp_path):
    words = (
        "--workers",
        "8",
        "--option",
        "partition=cpu",
        "cluster.sbatch={account: me, qos: gpu}",
        "--json",
    )
    code, printed = queued(*words)
    assert code == 0
    job = json.loads(printed)
    script = Path(job["script"]).read_text()
    assert job["job_id"] == "4711"
    assert "#SBATCH --cpus-per-task=8\n" in script
    assert "#SBATCH --partition=cpu\n" in script
    assert "#SBATCH --account=me\n" in script
    assert "gpu" not in script.partition("set -euo")[0]
    assert script.splitlines()[-1].endswith("'cluster.sbatch={account: me, qos: gpu}' --workers 8")
    check_printed(["data", "tokenize", "--queue", "--json"], printed)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--option", "partitoin=cpu"], "did you mean partition?"),
        (["--option", "array=0-3"], "several jobs would make the same tokens"),
        (["--option", "=x"], "write KEY=VALUE"),
        (["--workers", "0"], "--workers"),
        (["data.path=none.jsonl"], "none.jsonl"),
        (["trainer=dpo"], "learns from"),
    ],
)
def test_what_cannot_be_queued_is_refused_and_nothing_is_left(
    queued, tmp_path, words: list[str], sentence: str
):
    code, printed = queued(*words)
    assert code in (1, 2)
    assert sentence in printed
    assert not (tmp_path / "cache" / "tokens").exists()


@pytest.mark.parametrize(
    ("sbatch", "kept"),
    [("echo Socket timed out >&2; exit 1", True), ("echo invalid partition >&2; exit 1", False)],
)
def test_a_script_stays_if_its_job_can_be_in_the_queue(queued, commands, tmp_path, monkeypatch, sbatch, kept):
    monkeypatch.setenv("PATH", f"{commands(sbatch)}:{os.environ['PATH']}")
    code, _ = queued()
    assert code == 1
    assert bool(list(tmp_path.rglob("jobs/*/*"))) is kept


def numbered(count: int) -> Iterator[tuple[int, Example]]:
    return ((number, {"text": str(number)}) for number in range(count))


@pytest.mark.parametrize("encoders", [ALONE, Encoders(3)])
def test_an_error_is_that_of_the_first_row_that_has_one(encoders: Encoders):
    def encode(line: int, example: Example) -> int:
        if line in (150, 151, 400):
            raise DataError(f"line {line}")
        return line

    seen: list[int] = []
    with pytest.raises(DataError, match=r"^line 150$"):
        seen.extend(made for _, _, made in encoders.map(encode, numbered(1000)))
    assert seen == list(range(len(seen)))


def test_a_killed_process_is_an_error_and_not_a_hang():
    def encode(line: int, example: Example) -> int:
        if line == 100:
            os.kill(os.getpid(), signal.SIGKILL)
        return line

    with pytest.raises(DataError, match="was killed; is the memory too small"):
        list(Encoders(2).map(encode, numbered(1000)))


@pytest.mark.train
@pytest.mark.long
def test_a_trained_run_has_the_tokens_of_the_command(typed, tmp_path, cache: Path):
    composed, plan = plan_tokens(
        compose(["+experiment=tiny", "cluster=local", f"cache_dir={cache}", "seed=77"])[0], datetime.now()
    )
    made = tokenize(composed, plan, 2, quiet=True)
    assert not list(differences(plain(made), Tokenized))
    run: Finished = launch(tmp_path, cache, "seed=77", "trainer.max_steps=2")
    assert run.events("tokenizing") == []
    assert [event["folder"] for event in run.events("data")] == [one["folder"] for one in made.sets]
