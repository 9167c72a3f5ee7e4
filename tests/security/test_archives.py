"""Archives of code that somebody else made: nothing of one is written outside of its folder, and nothing but plain files."""

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.errors import RunError
from launcher.launching.freeze.unpack import changed_files, unpack
from launcher.plan import LaunchPlan
from launcher.remote import there
from launcher.render import render


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, link, mode
    found.size = 6 if kind == tarfile.REGTYPE else 0
    found.devmajor, found.devminor = 1, 5
    return found


HOSTILE: dict[str, list[tarfile.TarInfo]] = {
    "above": [member("../../planted")],
    "absolute": [member("/tmp/planted_by_archive")],
    "link to a folder": [member("a", tarfile.SYMTYPE, "../.."), member("a/planted")],
    "link to a file": [member("a.py", tarfile.SYMTYPE, "/etc/passwd")],
    "hard link": [member("a.py", tarfile.LNKTYPE, "../../secret")],
    "device": [member("zero.py", tarfile.CHRTYPE)],
    "pipe": [member("pipe.py", tarfile.FIFOTYPE)],
}


def write(archive: Path, members: list[tarfile.TarInfo]) -> None:
    with tarfile.open(archive, "w") as file:
        for one in members:
            file.addfile(one, io.BytesIO(b"a = 1\n") if one.isfile() else None)


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
def test_nothing_of_a_hostile_archive_is_unpacked(tmp_path, members: list[tarfile.TarInfo]):
    archive = tmp_path / "code.tar"
    write(archive, [member("good.py"), *members])
    with pytest.raises(RunError, match="which no launch writes; was it edited"):
        unpack(str(tmp_path / "cache" / "copy"), str(archive))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["code.tar"]
    assert not Path("/tmp/planted_by_archive").exists()


@pytest.mark.parametrize(
    "compare", [changed_files, lambda old, new: unpack(str(new.with_name("copy")), str(new))]
)
@pytest.mark.parametrize("content", [b"", b"\0" * 20_000, b"no archive", b"\x1f\x8b" + b"x" * 600])
def test_what_is_no_archive_is_one_line(tmp_path, content: bytes, compare: Callable[[Path, Path], object]):
    good, broken = tmp_path / "good.tar", tmp_path / "broken.tar"
    write(good, [member("a.py")])
    broken.write_bytes(content)
    try:
        compare(good, broken)
    except RunError as error:
        assert str(broken) in str(error)
        assert "\n" not in str(error)


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
def test_the_cluster_unpacks_nothing_of_a_hostile_archive_of_a_launch(
    tmp_path, members: list[tarfile.TarInfo]
):
    write(tmp_path / "code.tar", [member("good.py"), *members])
    sent = tmp_path / "base" / "sent"
    (sent / "files").mkdir(parents=True)
    os.link(tmp_path / "code.tar", sent / "files" / "abc")
    tree = {"name": "code/abc", "files": [], "archive": "abc"}
    request = {"do": "take", "base": str(tmp_path / "base"), "files": [], "trees": [tree]}
    with pytest.raises(OSError, match="which no launch sends"):
        there.take(request, io.BytesIO(), io.BytesIO())
    assert [path for path in tmp_path.rglob("*.py") if sent not in path.parents] == []
    assert [path for path in tmp_path.rglob("planted*") if sent not in path.parents] == []
    assert not Path("/tmp/planted_by_archive").exists()


@pytest.fixture
def job(
    plan: Callable[..., LaunchPlan], tmp_path: Path
) -> Callable[[Path], subprocess.CompletedProcess[str]]:
    """Runs a run's job script until it would start the supervisor, with this archive as the code of the run."""

    def job(archive: Path) -> subprocess.CompletedProcess[str]:
        code = {str(tmp_path / "cache" / "copy"): str(archive)}
        texts = render(plan("+experiment=tiny", "cluster=slurm", code=code, run_dir=str(tmp_path)))
        script, mark, _ = texts["job.sbatch"].partition("\n# This script outlives the supervisor")
        assert mark
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True)

    return job


@pytest.mark.parametrize(
    "members",
    [*HOSTILE.values(), [member("./a/../b.py")], [member(" ./a")]],
    ids=[*HOSTILE, "in it", "space"],
)
def test_a_job_ends_in_one_line_at_a_hostile_archive(job, tmp_path, members: list[tarfile.TarInfo]):
    archive = tmp_path / "code.tar"
    write(archive, [member("./good.py"), *members])
    done = job(archive)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert f"launcher: {archive}, the code of the run, holds " in done.stderr
    assert members[0].name in done.stderr and "which no launch writes; was it edited?" in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["code.tar"]
    assert not Path("/tmp/planted_by_archive").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_job_ends_in_one_line_without_an_archive(job, tmp_path, content: bytes | None):
    archive = tmp_path / "code.tar"
    if content is not None:
        archive.write_bytes(content)
    done = job(archive)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr


def test_a_job_unpacks_every_name_that_a_launch_keeps(job, tmp_path):
    names = [
        "./a b.py",
        "./-rf.py",
        "./..py",
        "./c/...",
        "./line\nbreak.py",
        "./\u00e9.py",
        "./ -> x",
        "./a/..b/c.py",
    ]
    write(tmp_path / "code.tar", [member(name) for name in names])
    done = job(tmp_path / "code.tar")
    assert (done.returncode, done.stderr) == (0, "")
    copy = tmp_path / "cache" / "copy"
    assert {f"./{path.relative_to(copy)}" for path in copy.rglob("*") if path.is_file()} == set(names)
