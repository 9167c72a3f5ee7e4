"""Archives of code that somebody else made: nothing of one is written outside of its folder, and nothing but plain files."""

import contextlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.errors import RunError
from launcher.launching.freeze.keep import changed_files, unpack
from launcher.remote import there


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


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="a Python without the filter of tarfile")
@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
def test_the_cluster_unpacks_nothing_outside_of_the_folder_of_a_launch(
    tmp_path, members: list[tarfile.TarInfo]
):
    write(tmp_path / "code.tar", members)
    sent = tmp_path / "base" / "sent"
    (sent / "files").mkdir(parents=True)
    os.link(tmp_path / "code.tar", sent / "files" / "abc")
    tree = {"name": "code/abc", "files": [], "archive": "abc"}
    request = {"do": "take", "base": str(tmp_path / "base"), "files": [], "trees": [tree]}
    with contextlib.suppress(tarfile.FilterError, OSError):
        there.take(request, io.BytesIO(), io.BytesIO())
    assert [path for path in tmp_path.rglob("planted*") if sent not in path.parents] == []
    assert not Path("/tmp/planted_by_archive").exists()
