"""What counts as a checkpoint, which are kept, how often to save, and where a run may start from."""

import dataclasses
import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.checkpoint.folders import (
    Broken,
    FoundCheckpoint,
    commit,
    committed,
    find_all,
    first_difference,
    open_folder,
    open_pieces,
    reasons_to_keep,
    remove_leftovers,
    retain,
)
from launcher.checkpoint.manifest import FORMAT, FileFacts, Manifest
from launcher.checkpoint.pieces import Piece, PieceReader, write_file, write_pieces
from launcher.errors import CheckpointError, PlanError
from launcher.plan.save import best_interval_s, effective_training_time, mean_time_between_failures_s


def manifest(step: int, eval_loss: float | None = None) -> Manifest:
    return Manifest(
        format=FORMAT, step=step, samples=4 * step, tokens=0, epoch=0.0, world_size=1, strategy="ddp", run="/runs/r/1",
        attempt=1, plan_digest="", global_batch_size=4, samples_per_epoch=160, seed=0, why="interval", eval_loss=eval_loss,
        time="2026-11-24T00:00:00.000+00:00", versions={}, parameters={}, files={},
    )  # fmt: skip


def save(checkpoints: Path, step: int, eval_loss: float | None = None, *, weights_only: bool = False) -> Path:
    folder = open_folder(checkpoints, step)
    data = bytes(range(8))
    facts = write_pieces(
        folder / "rank_00000.safetensors", [Piece("weight/w", 0, 2, "F32")], memoryview(data)
    )
    files = {
        "rank_00000.safetensors": facts,
        "rank_00000.json": write_file(folder / "rank_00000.json", [memoryview(b"{}")]),
    }
    return commit(
        folder, dataclasses.replace(manifest(step, eval_loss), files=files, weights_only=weights_only)
    )


def test_a_folder_is_no_checkpoint_until_it_is_committed(tmp_path):
    open_folder(tmp_path, 10)
    assert find_all(tmp_path) == []
    assert save(tmp_path, 10).name == "step_00000010"
    assert [found.manifest.step for found in committed(tmp_path)] == [10]


def test_checkpoints_are_ordered_by_step_and_not_by_time(tmp_path):
    for step in (30, 10, 20):
        save(tmp_path, step)
    assert [found.manifest.step for found in committed(tmp_path)] == [30, 20, 10]


def test_leftovers_go_and_committed_ones_stay(tmp_path):
    save(tmp_path, 10)
    open_folder(tmp_path, 20)
    assert remove_leftovers(tmp_path) == [".tmp_step_00000020"]
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000010"]


def test_a_save_of_the_same_step_leaves_nothing_of_the_earlier_one(tmp_path):
    save(tmp_path, 10)
    save(tmp_path, 10, 2.5)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000010"]
    assert [found.manifest.eval_loss for found in committed(tmp_path)] == [2.5]


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path):
    folder = save(tmp_path, 10)
    (found,) = committed(tmp_path)
    (folder / "rank_00000.json").unlink()
    told = first_difference(found, ["rank_00000.json"])
    assert told == f"{folder}/rank_00000.json cannot be read: No such file or directory"


def test_another_format_is_not_read(tmp_path):
    folder = save(tmp_path, 10)
    text = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**text, "format": 2}))
    (found,) = find_all(tmp_path)
    assert isinstance(found, Broken) and "has format 2; this version reads 1" in found.reason


def save_whole(checkpoints: Path, **changed: object) -> Path:
    """A checkpoint of three ranks, of which the first has written nothing and each other one a parameter."""
    folder = open_folder(checkpoints, 10)
    files: dict[str, FileFacts] = {}
    for rank, names in enumerate(([], ["a"], ["b"])):
        pieces = [Piece(f"{kind}/{name}", 0, 4, "U8") for name in names for kind in ("weight", "exp_avg")]
        name = f"rank_{rank:05d}"
        files[f"{name}.safetensors"] = write_pieces(
            folder / f"{name}.safetensors", pieces, memoryview(bytes([rank] * 8))
        )
        files[f"{name}.json"] = write_file(folder / f"{name}.json", [memoryview(b"{}")])
    whole = dataclasses.replace(manifest(10), world_size=3, files=files, writers={"a": 1, "b": 2})
    return commit(folder, dataclasses.replace(whole, **changed))


def test_a_parameter_is_read_from_the_file_that_the_manifest_names_and_no_other_is_opened(tmp_path):
    folder = save_whole(tmp_path)
    (found,) = committed(tmp_path)
    assert found.manifest.writers == {"a": 1, "b": 2}
    for rank in (0, 1):
        (folder / f"rank_{rank:05d}.safetensors").write_bytes(b"no header")
    read: list[bytes] = []
    reader = open_pieces(found)
    for kind in ("exp_avg", "weight"):
        reader.read(f"{kind}/b", 0, 4, lambda piece, offset, data: read.append(bytes(data)))
    assert read == [b"\2\2\2\2"] * 2
    with pytest.raises(CheckpointError, match=r"rank_00001.safetensors cannot be read"):
        reader.read("weight/a", 0, 4, lambda *part: None)


@pytest.mark.parametrize("writers", [{}, {"a": 2}, {"a": 77, "b": 1}])
def test_a_parameter_is_found_without_its_file_s_name_as_in_earlier_versions_or_with_a_wrong_one(
    tmp_path, writers
):
    folder = save_whole(tmp_path, writers=writers)
    assert ("writers" in json.loads((folder / "manifest.json").read_text())) == bool(writers)
    (found,) = committed(tmp_path)
    read: list[bytes] = []
    open_pieces(found).read("weight/a", 0, 4, lambda piece, offset, data: read.append(bytes(data)))
    assert read == [b"\1\1\1\1"]


def test_pieces_that_changed_places_are_found_by_their_digests(tmp_path):
    folder = save_whole(tmp_path)
    one, other, aside = (folder / name for name in ("rank_00001.safetensors", "rank_00002.safetensors", "x"))
    for file, target in ((one, aside), (other, one), (aside, other)):
        file.rename(target)
    (found,) = committed(tmp_path)  # all sizes are right
    assert "rank_00001.safetensors has digest" in str(first_difference(found, sorted(found.manifest.files)))


def test_a_piece_that_is_missing_or_cut_is_no_checkpoint(tmp_path):
    folder = save_whole(tmp_path)
    file = folder / "rank_00002.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    (found,) = find_all(tmp_path)
    assert isinstance(found, Broken) and "bytes, but the manifest says" in found.reason
    file.unlink()
    (found,) = find_all(tmp_path)
    assert isinstance(found, Broken) and "rank_00002.safetensors cannot be read" in found.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: one["files"].pop("rank_00002.safetensors"), "does not list rank_00002.safetensors"),
        (lambda one: one["files"].pop("rank_00000.json"), "does not list rank_00000.json"),
        (lambda one: one.update(world_size=4), "does not list rank_00003.safetensors"),
        (lambda one: one.update(world_size=1 << 62), "does not list rank_00003.safetensors"),
        (
            lambda one: one["files"].update({"../x": one["files"]["rank_00000.json"]}),
            "is not the name of a file",
        ),
        (lambda one: one["files"].update({"/etc/passwd": {}}), "is not the name of a file"),
        (
            lambda one: one["files"]["rank_00000.json"].update(bytes="2"),
            "has a type that a save never writes",
        ),
        (lambda one: one.update(writers={"a": "1"}), "has a type that a save never writes"),
    ],
)
def test_a_manifest_lists_a_file_in_the_folder_for_every_rank(tmp_path, change, reason):
    path = save_whole(tmp_path) / "manifest.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    (found,) = find_all(tmp_path)
    assert isinstance(found, Broken) and reason in found.reason


def test_a_manifest_says_that_it_lacks_the_optimizer_only_if_it_does(tmp_path):
    assert (
        "weights_only" not in (save(tmp_path, 10) / "manifest.json").read_text()
    )  # earlier versions read it
    save(tmp_path, 20, weights_only=True)
    assert [found.manifest.weights_only for found in committed(tmp_path)] == [True, False]


def test_one_flipped_bit_is_found_by_its_digest(tmp_path):
    folder = save(tmp_path, 10)
    (found,) = committed(tmp_path)
    assert first_difference(found, list(found.manifest.files)) is None
    file = folder / "rank_00000.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert isinstance(find_all(tmp_path)[0], FoundCheckpoint)  # its size is right
    assert "has digest" in str(first_difference(found, list(found.manifest.files)))


def test_the_last_every_nth_and_the_best_are_kept_each_with_its_reason():
    losses = {10: 3.0, 20: 1.0, 30: 2.0, 40: 2.5, 50: 2.6}
    kept = reasons_to_keep([manifest(step, loss) for step, loss in losses.items()], 2, 30, 1)
    assert kept == {50: ["last"], 40: ["last"], 30: ["every"], 20: ["best"]}


@given(
    st.lists(st.integers(1, 1000), min_size=1, unique=True),
    st.integers(0, 3),
    st.integers(0, 50),
    st.integers(0, 3),
)
def test_the_newest_is_always_kept(steps, last, every, best):
    assert max(steps) in reasons_to_keep([manifest(step) for step in steps], last, every, best)


def test_retention_deletes_what_nothing_keeps(tmp_path):
    for step in (10, 20, 30):
        save(tmp_path, step)
    assert retain(tmp_path, 1, 20, 0) == [10]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000020", "step_00000030"]


def test_later_steps_of_a_run_that_went_back_take_nobody_s_place(tmp_path):
    for step in (10, 20, 90, 100):
        save(tmp_path, step)
    assert retain(tmp_path, 1, 0, 0, newest=20) == [10]
    assert sorted(path.name[-3:] for path in tmp_path.iterdir()) == ["020", "090", "100"]


def test_after_a_save_the_manifests_alone_decide_what_is_kept(tmp_path):
    for step in (10, 20, 30):
        save(tmp_path, step)
    for file in (tmp_path / "step_00000020").iterdir():
        if file.name != "manifest.json":
            file.unlink()
    assert retain(tmp_path, 2, 0, 0, newest=30) == [10]
    assert retain(tmp_path, 1, 0, 0) == []  # by hand, a broken one is neither kept nor deleted


@given(st.data())
def test_any_cut_of_a_tensor_is_read_back_from_any_other_cut(tmp_path_factory, data):
    numel = data.draw(st.integers(1, 40))
    cuts = sorted({0, numel, *data.draw(st.lists(st.integers(0, numel)))})
    folder = tmp_path_factory.mktemp("pieces")
    paths = []
    for rank, (start, stop) in enumerate(itertools.pairwise(cuts)):
        paths.append(folder / f"rank_{rank}")
        write_pieces(
            paths[-1], [Piece("weight/w", start, stop - start, "U8")], memoryview(bytes(range(start, stop)))
        )
    start = data.draw(st.integers(0, numel))
    stop = data.draw(st.integers(start, numel))
    read = bytearray(stop - start)

    def put(piece: Piece, offset: int, part: bytearray) -> None:
        read[offset : offset + piece.numel] = part

    PieceReader(paths).read("weight/w", start, stop, put)
    assert bytes(read) == bytes(range(start, stop))


def test_a_missing_run_of_elements_is_named(tmp_path):
    write_pieces(tmp_path / "a", [Piece("weight/w", 0, 4, "U8")], memoryview(bytes(4)))
    with pytest.raises(CheckpointError, match="weight/w: elements 4 to 8 are missing"):
        PieceReader([tmp_path / "a"]).read("weight/w", 0, 8, lambda *part: None)


def test_dalys_interval_is_the_best_of_its_neighbours():
    mtbf, save_s, restart_s = 3600.0, 20.0, 60.0
    best = best_interval_s(save_s, mtbf)
    share = effective_training_time(best, save_s, restart_s, mtbf)
    assert share >= effective_training_time(best * 1.3, save_s, restart_s, mtbf)
    assert share >= effective_training_time(best / 1.3, save_s, restart_s, mtbf)
    assert best == pytest.approx(math.sqrt(2 * save_s * mtbf), rel=0.1)  # Young's first order


def test_a_machine_that_fails_faster_than_a_job_starts_trains_nothing():
    assert effective_training_time(interval_s=60, save_s=1, restart_s=7200, mtbf_s=1) == 0


def test_more_nodes_fail_more_often():
    assert mean_time_between_failures_s(1000, 6.5) == pytest.approx(86_400 / 6.5)
    assert math.isinf(mean_time_between_failures_s(8, 0.0))


def test_the_plan_holds_the_saves_and_what_they_are_worth(plan):
    save = plan("+experiment=llama70b_qlora", "plugins.sharded_checkpoint.save_steps=auto").save
    assert save.save_steps == 0
    assert 0.99 < save.effective_training_time < 1
    assert plan("+experiment=tiny", "cluster.failures_per_1000_node_days=0").save.best_interval_s is None


def test_keeping_the_best_needs_an_evaluation_at_every_save(plan):
    with pytest.raises(PlanError, match="keep_best=1 needs an evaluation at every saved step"):
        plan("+experiment=tiny", "plugins.sharded_checkpoint.keep_best=1")
    plan(
        "+experiment=tiny", "plugins.sharded_checkpoint.keep_best=1", "trainer.eval_steps=2",
        "plugins.sharded_checkpoint.save_steps=4",
    )  # fmt: skip


@pytest.mark.parametrize("value", ["0", "-1", "often", "1.5"])
def test_an_interval_is_a_number_of_steps_or_auto(cli, value):
    done = cli(
        "+experiment=tiny",
        "cluster=local",
        f"plugins.sharded_checkpoint.save_steps={value}",
        "dry_run=true",
    )
    assert done.returncode == 1
    assert "save_steps=" in done.stderr and "or auto" in done.stderr


def test_a_start_from_outside_runs_dir_needs_trust(cli, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    folder = save(elsewhere, 10)
    launch = ("+experiment=tiny", "cluster=local", "dry_run=true", f"resume={folder}")
    done = cli(*launch)
    assert done.returncode == 1
    assert "trust_checkpoint=true" in done.stderr and "its author determines" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert cli(*launch, "trust_checkpoint=true").returncode == 0


@pytest.mark.parametrize(
    ("resume", "said"),
    [("nothing", "is neither a folder nor a run"), ("empty", "was never committed")],
)
def test_a_start_that_is_no_checkpoint_is_refused(cli, tmp_path, resume, said):
    (tmp_path / "empty").mkdir()
    done = cli("+experiment=tiny", "cluster=local", "dry_run=true", f"resume={resume}")
    assert done.returncode == 1
    assert said in done.stderr


def test_weights_alone_need_a_checkpoint_to_take_them_from(cli):
    done = cli("+experiment=tiny", "cluster=local", "dry_run=true", "resume_weights_only=true")
    assert done.returncode == 1
    assert "resume_weights_only=true needs resume=PATH" in done.stderr


WEIGHTS = "plugins.sharded_checkpoint.weights_only=true"


@pytest.mark.parametrize("as_run", [True, False])
def test_a_start_without_optimizer_state_has_to_be_requested(cli, tmp_path, as_run: bool):
    inside = tmp_path / "runs" / "old" / "2026-01-01_00-00-00" / "checkpoints"
    step = save(inside, 20, weights_only=True)
    start = f"resume={step.parent.parent if as_run else step}"
    refused = cli("+experiment=tiny", "cluster=local", "dry_run=true", start)
    assert refused.returncode == 1 and "step_00000020 has no optimizer state" in refused.stderr
    asked = cli("+experiment=tiny", "cluster=local", "dry_run=true", start, "resume_weights_only=true")
    assert asked.returncode == 0, asked.stderr


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "resume_weights_only=false",
            "the run does not go on after a failure, a pre-emption or its time limit",
        ),
        ("resume_weights_only=true", "goes on at the newest one's step, with a new optimizer"),
    ],
)
def test_what_checkpoints_without_optimizer_state_cost_is_said_before_the_queue(cli, asked: str, said: str):
    done = cli("+experiment=tiny", "cluster=local", "dry_run=true", WEIGHTS, asked)
    assert done.returncode == 0 and said in done.stderr
