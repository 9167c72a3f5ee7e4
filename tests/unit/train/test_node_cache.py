"""Copies on a node's own disk: made once by one process, reused, and refused where they do not fit."""

import subprocess
import sys
from pathlib import Path

import pytest

from launcher.errors import ConfigError, PlanError
from launcher.run import RunDir
from launcher.run.events.ranks import CopiedToNode
from launcher.train.heartbeat import Heartbeat
from launcher.train.node_cache import NodeCache

ONE_RANK = """
import sys
from pathlib import Path
from launcher.run import RunDir
from launcher.train.heartbeat import Heartbeat
from launcher.train.node_cache import NodeCache
print(NodeCache(sys.argv[1], RunDir(Path(sys.argv[2])), 1, Heartbeat()).copy_of(Path(sys.argv[3]), "model"))
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    (tmp_path / "run").mkdir()
    return RunDir(tmp_path / "run")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "shared" / "model"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "pytorch_model.bin", "consolidated.pth", "code.py"):
        (folder / name).write_bytes(name.encode() * 1000)
    (folder / "original").mkdir()
    return folder


def cache_at(folder: Path, run: RunDir) -> NodeCache:
    return NodeCache(str(folder), run, 1, Heartbeat())


def test_all_processes_of_a_node_read_one_copy_that_one_of_them_made(
    tmp_path: Path, run: RunDir, model: Path
):
    words = [sys.executable, "-c", ONE_RANK, str(tmp_path), str(run.path), str(model)]
    ranks = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    (folder,) = {rank.communicate(timeout=60)[0].strip() for rank in ranks}
    assert all(rank.returncode == 0 for rank in ranks)
    copied = run.read_events(CopiedToNode)
    assert [(one.what, one.folder) for one in copied] == [("model", folder)]
    assert {path.name for path in Path(folder).iterdir()} == {"config.json", "model.safetensors", "code.py"}
    assert (Path(folder) / "code.py").read_bytes() == (model / "code.py").read_bytes()


def test_a_copy_is_reused_until_its_source_changes_and_made_again_if_it_is_cut(
    tmp_path: Path, run: RunDir, model: Path
):
    first = cache_at(tmp_path, run).copy_of(model, "model")
    assert cache_at(tmp_path, run).copy_of(model, "model") == first
    assert len(run.read_events(CopiedToNode)) == 1
    (first / "model.safetensors").write_bytes(b"cut")
    assert (cache_at(tmp_path, run).copy_of(model, "model") / "model.safetensors").stat().st_size > 3
    (model / "config.json").write_text("{}")
    assert cache_at(tmp_path, run).copy_of(model, "model") != first


def test_copies_that_nobody_uses_make_room_and_what_never_fits_is_refused(
    tmp_path: Path, run: RunDir, model: Path
):
    used = cache_at(tmp_path, run)
    kept = used.copy_of(model, "model")
    (model / "config.json").write_text("{}")
    left = cache_at(tmp_path, run).copy_of(model, "model")
    huge = tmp_path / "huge"
    huge.mkdir()
    with (huge / "model.safetensors").open("wb") as file:
        file.truncate(1 << 43)  # without blocks on the disk
    with pytest.raises(
        ConfigError, match=r"cluster\.node_cache=.* GB free on .*, and the model needs 8797\.2 GB"
    ):
        cache_at(tmp_path, run).copy_of(huge, "model")
    assert kept.is_dir() and not left.exists()


@pytest.mark.parametrize("named", ["/nowhere", "$NO_SUCH_DISK/x"])
def test_a_folder_that_a_node_has_not_is_refused_with_the_key(run: RunDir, named: str):
    with pytest.raises(ConfigError, match=r"^cluster\.node_cache=.* is not a folder on "):
        NodeCache(named, run, 1, Heartbeat())


def test_a_variable_of_the_node_is_read_on_the_node(
    tmp_path: Path, run: RunDir, model: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SLURM_TMPDIR", str(tmp_path))
    copy = NodeCache("$SLURM_TMPDIR", run, 1, Heartbeat()).copy_of(model, "tokens")
    assert copy.is_relative_to(tmp_path) and (copy / "pytorch_model.bin").exists()


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["cluster.node_cache=cache"], "absolute path"),
        (["cluster.node_cache=''"], "absolute path"),
        (
            [
                "cluster.node_cache=$TMPDIR",
                "cluster.container.runtime=apptainer",
                "cluster.container.image=/i",
            ],
            "name the folder itself",
        ),
    ],
)
def test_a_folder_that_no_node_can_mean_is_refused_by_the_plan(plan, overrides: list[str], says: str):
    with pytest.raises(PlanError, match=says):
        plan("+experiment=tiny", *overrides)


def test_a_container_mounts_the_nodes_own_disk(plan):
    container = ("cluster.container.runtime=apptainer", "cluster.container.image=/i")
    words = plan("+experiment=tiny", *container, "cluster.node_cache=/nvme").container_command
    assert "/nvme:/nvme" in words
