"""Folders that a run writes: those that cannot be made, or keep nothing, are refused before anything is queued."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from launcher.config import Config
from launcher.errors import ConfigError
from launcher.file_systems import file_system
from launcher.launching.folder_gate import check_folders
from launcher.plan import Facts


@pytest.fixture
def check(
    compose: Callable[..., Config], facts: Callable[[Config], Facts], tmp_path: Path
) -> Callable[..., None]:
    """Judges a configuration whose folders lie below tmp_path unless they are typed."""

    def check(*typed: str, cluster: str = "slurm") -> None:
        config = compose(
            "+experiment=tiny",
            f"cluster={cluster}",
            f"runs_dir={tmp_path}/runs",
            f"cache_dir={tmp_path}/cache",
            *typed,
        )
        check_folders(
            config,
            replace(
                facts(config),
                cluster=cluster,
                run_dir=f"{config.runs_dir}/tiny/1",
                cache_dir=config.cache_dir,
            ),
        )

    return check


@pytest.mark.parametrize("cluster", ["slurm", "local"])
@pytest.mark.parametrize("key", ["runs_dir", "cache_dir", "cluster.node_cache"])
@pytest.mark.parametrize(("folder", "kind"), [("/proc/x", "proc"), ("/sys/fs/x", "sysfs")])
def test_a_folder_on_a_file_system_of_the_kernel_is_refused(
    check, cluster: str, key: str, folder: str, kind: str
):
    assert file_system(Path(folder)) == kind
    with pytest.raises(ConfigError, match=f"{key}={folder} is on {kind}.*choose another folder, on a disk"):
        check(f"{key}={folder}", cluster=cluster)


@pytest.mark.parametrize("key", ["runs_dir", "cache_dir"])
def test_a_folder_below_a_file_is_refused_with_the_file(check, tmp_path: Path, key: str):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ConfigError, match=rf"{key}=\S+/a/b cannot be made, because \S+/notes.txt is a file"):
        check(f"{key}={tmp_path}/notes.txt/a/b")
    with pytest.raises(ConfigError, match=rf"{key}=\S+/notes.txt is a file"):
        check(f"{key}={tmp_path}/notes.txt")


@pytest.mark.parametrize("mode", [0o555, 0o700])
def test_a_folder_of_somebody_else_is_refused(check, mode: int):
    with TemporaryDirectory() as made:  # tmp_path may be entered by its owner alone
        folder = Path(made)
        folder.chmod(0o755)
        theirs, own = folder / "theirs", folder / "own"
        theirs.mkdir(mode=mode)
        own.mkdir()
        own.chmod(0o777)
        if os.geteuid() != 0:
            theirs.chmod(0o555)
        told = as_nobody(own, lambda: check(f"runs_dir={own}", f"cache_dir={theirs}/cache"))
    assert f"cache_dir={theirs}/cache cannot be made, because {theirs} cannot be written by you" in told


def as_nobody(folder: Path, call: Callable[[], None]) -> str:
    """The refusal of a call in a process that is not root's."""
    told, child = folder / "told", os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            call()
        except ConfigError as refusal:
            told.write_text(str(refusal))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return told.read_text() if told.exists() else ""


def test_a_mount_that_only_the_nodes_have_is_not_judged_before_the_queue(check):
    check("cache_dir=/only_on_the_nodes/me/cache", "cluster.node_cache=/only_on_the_nodes")
    check("cluster.node_cache=$SLURM_TMPDIR")


def test_a_disk_of_this_machine_that_is_not_there_is_refused(check):
    with pytest.raises(
        ConfigError, match=r"cluster\.node_cache=/only_on_the_nodes is not a folder of this machine"
    ):
        check("cluster.node_cache=/only_on_the_nodes", cluster="local")


def test_folders_that_can_be_made_pass(check, tmp_path: Path):
    check(
        f"cache_dir={tmp_path}/a/b/c",
        f"runs_dir={tmp_path}/d/e",
        f"cluster.node_cache={tmp_path}",
        cluster="local",
    )
