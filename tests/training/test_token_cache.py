"""Tokens are made once: by one rank of one run, for all that come after; torn files are never used."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.config import Config
from launcher.data.tokenizer import byte_tokenizer
from launcher.run import RunDir
from launcher.run.events.ranks import Data
from launcher.train.data.build_lock import STALE_S
from launcher.train.data.cache import ROWS, committed
from launcher.train.data.shared import Shared
from launcher.train.data.tokens import shared_rows
from launcher.train.heartbeat import Heartbeat
from tests.support.runs import environment

ONE_RUN = """
import sys
from pathlib import Path
import hydra
from launcher.launching.composed import to_config
from launcher.config import register
from launcher.data.tokenizer import byte_tokenizer
from launcher.resources import resource_dir
from launcher.run import RunDir
from launcher.run.events.ranks import Data
from launcher.train.heartbeat import Heartbeat
from launcher.train.data.shared import Shared
from launcher.train.data.tokens import shared_rows

run, cache, data = sys.argv[1:]
register()
with hydra.initialize_config_dir(str(resource_dir("conf")), version_base="1.3"):
    config = to_config(hydra.compose("config", ["+experiment=tiny"]))
print(len(shared_rows(Shared(RunDir(Path(run)), cache, 1, 0, Heartbeat()), "train", data, byte_tokenizer(), config)))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "train.jsonl", 40)


def write(path: Path, count: int) -> Path:
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    path.write_text("".join(json.dumps({"messages": chat, "id": n}) + "\n" for n in range(count)))
    return path


@pytest.fixture
def read(tmp_path: Path, compose: Callable[..., Config]) -> Callable[..., Any]:
    """Rows of a data file as one rank of a run gets them."""
    plain = compose("+experiment=tiny")

    def read(data: Path, name: str = "run", *overrides: str, rank: int = 0, stale_s: float = STALE_S) -> Any:
        run = RunDir(tmp_path / name)
        run.path.mkdir(exist_ok=True)
        shared = Shared(run, str(tmp_path / "cache"), 1, rank, Heartbeat(), stale_s=stale_s)
        config = compose("+experiment=tiny", *overrides) if overrides else plain
        return shared_rows(shared, "train", str(data), byte_tokenizer(), config)

    return read


def told(tmp_path: Path, name: str = "run") -> list[dict[str, Any]]:
    """What a run has said of its data, oldest first."""
    return [event.values() for event in RunDir(tmp_path / name).read_events(Data)]


def test_a_second_attempt_and_another_run_do_not_tokenize_again(tmp_path, data, read):
    first, second, third = read(data), read(data), read(data, "other")
    assert [event["tokenized"] for event in told(tmp_path)] == [True, False]
    assert [event["tokenized"] for event in told(tmp_path, "other")] == [False]
    assert first[:] == second[:] == third[:]


@pytest.mark.parametrize(
    "override",
    ["trainer.packing=false", "model.max_length=128", "seed=1", "trainer.assistant_only_loss=false"],
)
def test_what_makes_other_rows_has_a_key_of_its_own(tmp_path, data, read, override: str):
    read(data)
    read(data, "run", override)
    assert [event["tokenized"] for event in told(tmp_path)] == [True, True]
    assert len({event["folder"] for event in told(tmp_path)}) == 2


def test_a_changed_data_file_is_tokenized_anew(tmp_path, data, read):
    before = data.stat()
    assert sum(map(len, read(data)["seq_lengths"])) == 40
    data.write_text(data.read_text().replace("Hello.", "Adieu."))
    os.utime(data, ns=(before.st_atime_ns, before.st_mtime_ns))  # size and time say nothing
    read(data)
    assert [event["tokenized"] for event in told(tmp_path)] == [True, True]


def test_another_chat_template_has_a_key_of_its_own(tmp_path, data, compose):
    shared = Shared(RunDir(tmp_path), str(tmp_path / "cache"), 1, 0, Heartbeat())
    for mark in ("", "!"):
        tokenizer = byte_tokenizer()
        tokenizer.chat_template += mark
        shared_rows(shared, "train", str(data), tokenizer, compose("+experiment=tiny"))
    assert [event["tokenized"] for event in told(tmp_path, ".")] == [True, True]


@pytest.mark.parametrize("damage", ["shorter", "flipped", "no commit"])
def test_torn_tokens_are_made_again(tmp_path, data, read, damage: str):
    whole = read(data)[:]
    folder = Path(told(tmp_path)[0]["folder"])
    rows = folder / ROWS
    content = rows.read_bytes()
    if damage == "shorter":
        rows.write_bytes(content[:-100])
    elif damage == "flipped":
        rows.write_bytes(content[:-200] + bytes([content[-200] ^ 1]) + content[-199:])
    else:
        (folder / "commit.json").unlink()
    assert committed(folder) is None
    assert read(data)[:] == whole
    assert [event["tokenized"] for event in told(tmp_path)] == [True, True]
    assert committed(folder) is not None


def test_a_rank_waits_for_rank_0_and_reads_the_same_rows(tmp_path, data, read):
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(read(data, rank=1)))
    waiting.start()
    time.sleep(0.5)
    assert not found
    rows = read(data)
    waiting.join(timeout=10)
    assert found[0][:] == rows[:]
    assert len(told(tmp_path)) == 1


@pytest.mark.train
def test_a_run_killed_while_it_tokenizes_leaves_nothing_that_counts_and_the_next_continues(tmp_path, read):
    data = write(tmp_path / "train.jsonl", 60_000)
    process = start(tmp_path, "killed", data)
    claims = tmp_path / "cache" / "tokens"
    while not any(
        json.loads(claim.read_text() or "{}").get("count", 0) > 500 for claim in claims.glob(".*.claim")
    ):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [path.name for path in claims.iterdir() if not path.name.startswith(".")] == []
    write(data, 50)  # other rows: the killed run's claim is of no concern to them
    assert sum(map(len, read(data)["seq_lengths"])) == 50


@pytest.mark.train
def test_of_two_runs_at_the_same_time_one_tokenizes_and_both_have_the_rows(tmp_path):
    data = write(tmp_path / "train.jsonl", 4000)
    both = [start(tmp_path, name, data) for name in ("one", "two")]
    counts = {process.communicate(timeout=120)[0] for process in both}
    assert len(counts) == 1
    assert sorted(told(tmp_path, name)[0]["tokenized"] for name in ("one", "two")) == [False, True]
    left = [path.name for path in (tmp_path / "cache" / "tokens").iterdir() if path.name.startswith(".")]
    assert left == []


def test_a_claim_whose_holder_is_gone_is_taken_over(tmp_path, data, read):
    read(data)
    folder = Path(told(tmp_path)[0]["folder"])
    (folder / "commit.json").unlink()
    (folder.parent / f".{folder.name}.claim").write_text(json.dumps({"nonce": "gone", "count": 3}))
    (folder.parent / f".{folder.name}.gone").mkdir()
    assert len(read(data, stale_s=0.5))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_maker_that_was_taken_for_dead_has_what_the_other_made(tmp_path):
    ranks = {  # stale after less than the time between two signs of life
        name: Shared(RunDir(tmp_path / name), str(tmp_path / "cache"), 1, 0, Heartbeat(), stale_s=0.2)
        for name in "ab"
    }
    for shared in ranks.values():
        shared.run.path.mkdir()

    def whole(folder: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        (folder / ROWS).write_bytes(b"whole")
        return {"examples": 1}

    def stands_still(folder: Path, progress: Callable[[int], None]) -> dict[str, Any]:
        ranks["b"].rows("train", lambda: {"key": 1}, whole)
        return whole(folder, progress)

    found = ranks["a"].rows("train", lambda: {"key": 1}, stands_still)
    assert found.read_bytes() == b"whole"
    assert [told(tmp_path, name)[0]["tokenized"] for name in "ab"] == [False, True]


def start(tmp_path: Path, name: str, data: Path) -> "subprocess.Popen[str]":
    (tmp_path / name).mkdir()
    return subprocess.Popen(
        [sys.executable, "-c", ONE_RUN, str(tmp_path / name), str(tmp_path / "cache"), str(data)],
        env=environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
