"""What a save, or a restart, does when it is interrupted or when the disk fails."""

import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import preloaded
from tests.support.runs import Finished, environment
from tests.support.warm import Warm
from tests.training.resuming import METHODS, TWO, checkpoint, planned, steps

pytestmark = pytest.mark.train


ALWAYS = [("lora", "fsdp2")]
"""`make kill-test` kills all of them."""


@pytest.fixture(scope="module")
def whole(warm: Warm, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run with checkpoints of steps 10 and 20."""
    run = planned(tmp_path_factory.mktemp("whole"), cache, *METHODS["lora"], "strategy=ddp", *TWO)
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    return run


@pytest.fixture
def damaged(whole: Finished, cache: Path, tmp_path: Path) -> Finished:
    """A run that was never started, with a copy of the finished run's checkpoints as its own."""
    run = planned(tmp_path, cache, *METHODS["lora"], "strategy=ddp", *TWO)
    shutil.copytree(whole.path / "checkpoints", run.path / "checkpoints")
    return run


@pytest.mark.parametrize(
    ("method", "strategy"),
    [
        pytest.param(method, strategy, marks=[] if (method, strategy) in ALWAYS else [pytest.mark.long])
        for method in ("lora", "full")
        for strategy in ("ddp", "zero1", "zero2", "zero3", "fsdp2")
    ],
)
def test_a_kill_at_any_moment_of_a_save_loses_at_most_one_interval(
    warm, cache, tmp_path, pytestconfig, method, strategy
):
    trials = max(1, pytestconfig.getoption("--kills") // 10)
    moments = random.Random(f"{method} {strategy}")
    every = 10
    run = planned(
        tmp_path, cache, *METHODS[method], f"strategy={strategy}", *TWO, "trainer.max_steps=100000",
        f"plugins.sharded_checkpoint.save_steps={every}",
    )  # fmt: skip
    for trial in range(trials):
        before = max(_committed(run), default=0)
        done = warm.run(
            run.path,
            kill_after_saves=moments.choice([1, 2]),
            delay_s=moments.uniform(0, 0.02),
            timeout_s=120 if trial else 400,  # the first one may have to compile DeepSpeed's operator
        )
        assert done["codes"] == [-9, -9] and not done["late"], run.logs()[-3000:]
        resumed = [event["step"] for event in run.events("resumed") if event["attempt"] == done["attempt"]]
        assert resumed == ([before] if before else [])
        newest, reached = max(_committed(run), default=0), run.metrics()[-1]["step"]
        # One interval, and what was trained while the save that was cut was being written: 20 ms at most.
        assert reached - newest <= every + 4, f"trial {trial}"
        assert newest >= before


def _committed(run: Finished) -> list[int]:
    """Decided from the files alone, by the documented layout, and not by the code that is tested."""
    found = []
    for step in steps(run):
        folder = checkpoint(run, step)
        manifest = json.loads((folder / "manifest.json").read_text())
        assert all(
            (folder / name).stat().st_size == facts["bytes"] for name, facts in manifest["files"].items()
        )
        found.append(step)
    return found


def _flip(folder: Path) -> None:
    path = folder / "rank_00001.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _truncate(folder: Path) -> None:
    path = folder / "rank_00000.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_flip, "has digest"),
        (_truncate, " bytes, but "),
        (
            lambda folder: (folder / "rank_00001.safetensors").unlink(),
            "rank_00001.safetensors cannot be read",
        ),
        (lambda folder: (folder / "manifest.json").write_text(""), "is not a manifest"),
        (lambda folder: (folder / "manifest.json").unlink(), "was never committed"),
        (lambda folder: (folder / "manifest.json").write_text('{"step": 20}'), "is not a manifest"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_taken(warm, damaged, damage, said):
    damage(checkpoint(damaged, 20))
    assert warm.run(damaged.path)["codes"] == [0, 0], damaged.logs()
    assert damaged.events("resumed")[0]["step"] == 10
    broken = damaged.events("checkpoint_broken")
    assert len(broken) == 1
    assert said in broken[0]["reason"]
    assert _committed(damaged) == [10, 20]  # saved again, over the broken one


def test_when_every_checkpoint_is_broken_the_run_begins_anew_and_says_so_for_each(warm, damaged):
    _flip(checkpoint(damaged, 20))
    _flip(checkpoint(damaged, 10))
    assert warm.run(damaged.path)["codes"] == [0, 0], damaged.logs()
    assert not damaged.events("resumed")
    assert len(damaged.events("checkpoint_broken")) == 2
    assert len(damaged.losses) == 20


def test_leftovers_of_a_torn_save_are_removed_and_committed_ones_never(warm, damaged):
    torn = damaged.path / "checkpoints" / ".tmp_step_00000030"
    torn.mkdir()
    (torn / "rank_00000.safetensors").write_bytes(b"half")
    assert warm.run(damaged.path)["codes"] == [0, 0], damaged.logs()
    assert not torn.exists()
    assert damaged.events("removed")[0]["leftovers"] == [".tmp_step_00000030"]
    assert damaged.events("resumed")[0]["step"] == 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB: room for four saves of two ranks, one of which looks when the other has written its part."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _on(run: Finished, folder: Path) -> None:
    (run.path / "checkpoints").symlink_to(folder)


def test_a_full_disk_keeps_the_last_good_checkpoint_and_the_second_failure_stops_the_run(
    warm, cache, tmp_path, small_disk
):
    run = planned(
        tmp_path, cache, *METHODS["lora"], "strategy=ddp", *TWO, "plugins.sharded_checkpoint.save_steps=4"
    )
    _on(run, small_disk)
    (small_disk / "others").write_bytes(bytes(2_650_000))  # room for one save of 0.8 MiB, not for two
    codes = warm.run(run.path)["codes"]
    assert 6 in codes, run.logs()
    failed = run.events("save_failed")
    assert [event["in_a_row"] for event in failed] == [1, 2]
    assert "No space left" in failed[0]["error"] or "too little for a save" in failed[0]["error"]
    assert _committed(run) == [4]
    assert run.metrics()[-1]["step"] >= 12
    assert "2 checkpoints in a row could not be written" in run.events("crashed")[0]["error"]
    (small_disk / "others").unlink()
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    assert run.events("resumed")[0]["step"] == 4


def test_a_read_only_folder_is_a_warning_and_then_a_stop(warm, cache, tmp_path, small_disk):
    run = planned(
        tmp_path, cache, *METHODS["lora"], "strategy=ddp", *TWO, "plugins.sharded_checkpoint.save_steps=5"
    )
    _on(run, small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert 6 in warm.run(run.path)["codes"], run.logs()
    assert "Read-only file system" in run.events("save_failed")[0]["error"]
    assert run.metrics()[-1]["step"] >= 10


FAULT = """
import errno, os, time
from launcher.plugins.base import Plugin

class Fault(Plugin):
    def __init__(self, kind):
        self.kind = kind

    def on_trainer(self, trainer):
        from launcher.train.checkpoint import saver

        write, calls = saver.write_pieces, []

        def failing(*arguments):
            calls.append(arguments)
            if os.environ["RANK"] == "1" and (len(calls) == 2 or self.kind == "dies"):
                if self.kind == "eio":
                    raise OSError(errno.EIO, "Input/output error")
                if self.kind == "quota":
                    raise OSError(errno.EDQUOT, "Disk quota exceeded")
                if self.kind == "dies":
                    raise SystemExit
                time.sleep(3600)
            return write(*arguments)

        saver.write_pieces = failing
        return trainer
"""


def _faulty(folder: Path, cache: Path, kind: str) -> Finished:
    folder.mkdir(exist_ok=True)
    (folder / "fault.py").write_text(FAULT)
    return planned(
        folder, cache, *METHODS["lora"], "strategy=ddp", *TWO, "plugins.sharded_checkpoint.save_steps=5",
        "plugins.sharded_checkpoint.timeout_s=2", "+plugins.fault._target_=fault.Fault", f"+plugins.fault.kind={kind}",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "said"), [("eio", "rank 1: Input/output error"), ("quota", "rank 1: Disk quota exceeded")]
)
def test_one_failed_save_is_a_warning_and_the_run_continues(warm, cache, tmp_path, kind, said):
    run = _faulty(tmp_path, cache, kind)
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    assert [(event["step"], event["error"]) for event in run.events("save_failed")] == [(10, said)]
    assert _committed(run) == [15, 20]


def test_a_writer_that_dies_is_a_failed_save_and_stops_the_run_at_the_second(warm, cache, tmp_path):
    run = _faulty(tmp_path, cache, "dies")
    assert 6 in warm.run(run.path)["codes"], run.logs()
    assert "another rank's writer does not answer" in run.events("save_failed")[0]["error"]
    assert not _committed(run)


def test_a_writer_whose_disk_never_answers_stops_the_run_with_its_last_checkpoint(warm, cache, tmp_path):
    run = _faulty(tmp_path, cache, "hangs")
    assert 6 in warm.run(run.path, timeout_s=60)["codes"], run.logs()
    assert any("its disk does not answer" in event["error"] for event in run.events("crashed"))
    assert _committed(run) == [5]


def test_a_folder_deleted_under_the_run_is_made_again(warm, cache, tmp_path):
    (tmp_path / "remover.py").write_text(REMOVER)
    run = planned(
        tmp_path, cache, *METHODS["lora"], "strategy=ddp", *TWO, "+plugins.remover._target_=remover.Remover"
    )
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    assert _committed(run) == [20]


REMOVER = """
import os, shutil
from transformers import TrainerCallback
from launcher.plugins.base import Plugin

class Remove(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 15 and os.environ["RANK"] == "0":
            shutil.rmtree(args.output_dir)

class Remover(Plugin):
    def on_trainer(self, trainer):
        trainer.add_callback(Remove())
        return trainer
"""


def test_the_checkpoints_verb_lists_verifies_and_prunes(damaged):
    def verb(*options: str) -> subprocess.CompletedProcess[str]:
        return preloaded.run(
            ("checkpoints", str(damaged.path), "--json", *options), Path.cwd(), environment(), timeout_s=60
        )

    listed = json.loads(verb().stdout)["checkpoints"]
    assert [(row["step"], row["committed"], row["verified"]) for row in listed] == [
        (20, True, None),
        (10, True, None),
    ]
    _flip(checkpoint(damaged, 10))
    assert verb().returncode == 0  # sizes are right
    found = verb("--verify")
    assert found.returncode == 1
    assert [row["verified"] for row in json.loads(found.stdout)["checkpoints"]] == [True, False]
    shutil.copytree(checkpoint(damaged, 20), checkpoint(damaged, 30))
    manifest = json.loads((checkpoint(damaged, 30) / "manifest.json").read_text())
    (checkpoint(damaged, 30) / "manifest.json").write_text(json.dumps({**manifest, "step": 30}))
    pruned = json.loads(verb("--prune").stdout)
    assert pruned["deleted"] == [10]
    assert steps(damaged) == [20, 30]
