"""Which files of a folder are kept as code, and the archive that they make."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from launcher.errors import ConfigError, RunError
from launcher.launching.freeze.git import Git
from launcher.launching.freeze.keep import keep
from launcher.launching.freeze.look import look
from launcher.launching.freeze.unpack import changed_files, unpack


def write(folder: Path, *names: str, text: str = "x = 1\n") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def kept_names(folder: Path, **secrets: str) -> set[str]:
    kept = keep(folder, look(folder, (), (), ()), folder.parent / "cache", secrets)
    with tarfile.open(kept.archive) as members:
        return {name.removeprefix("./") for name in members.getnames()}


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [
        ("plugin.py", True),
        ("deep/er/plugin.py", True),
        ("secrets.py", True),
        ("rewards/words.json", True),
        ("native.cpython-311-x86_64-linux-gnu.so", True),
        ("-rf.py", True),
        (".env", False),
        ("prod.env", False),
        (".git/config", False),
        (".venv/lib/x.py", False),
        ("venv/pyvenv.cfg", False),
        ("__pycache__/plugin.cpython-311.pyc", False),
        ("node_modules/x/y.py", False),
        ("keys/id_ed25519", False),
        ("server.pem", False),
        ("google_credentials.json", False),
    ],
)
def test_code_and_what_belongs_to_it_is_kept_and_no_file_of_secrets(tmp_path, name, is_kept):
    write(tmp_path / "work", name, "other.py")
    assert (name in kept_names(tmp_path / "work")) is is_kept


def test_large_files_data_folders_and_ignored_ones_are_left_out_and_reported(tmp_path):
    write(tmp_path, "a.py", "built/version.py", "out/log.txt")
    (tmp_path / "data.bin").write_bytes(bytes((1 << 20) + 1))
    (tmp_path / "shards").mkdir()
    for number in range(5001):
        (tmp_path / "shards" / f"{number}.txt").touch()
    seen = look(tmp_path, (), (), (b"built/", b"out/"))
    assert [path for path, *_ in seen.files] == [b"a.py", b"built/version.py"]
    assert seen.left_out == {
        "files over 1 MiB that are not code": ["data.bin"],
        "data folders": ["shards"],
        "folders that git ignores, without Python files": ["out"],
    }


def test_all_files_of_the_launcher_are_kept_at_any_size(tmp_path):
    write(tmp_path, "launcher/__main__.py")
    for folder in (tmp_path, tmp_path / "launcher"):
        (folder / "charts.js").write_bytes(bytes((1 << 20) + 1))
    seen = look(tmp_path, (), (), ())
    assert [path for path, *_ in seen.files] == [b"launcher/__main__.py", b"launcher/charts.js"]


def test_a_home_folder_is_too_large(tmp_path):
    write(tmp_path, *(f"{number}.py" for number in range(30)))
    assert look(tmp_path, (), (), (), most_files=20).too_large


def test_links_are_followed_to_code_and_never_in_a_circle(tmp_path):
    write(tmp_path / "shared", "tool.py")
    write(tmp_path / "scratch", "rows.txt")
    write(tmp_path / "work", "a.py")
    work = tmp_path / "work"
    for name, target in {
        "shared": "../shared",
        "scratch": "../scratch",
        "self": ".",
        "gone": "nowhere",
        "b.py": "a.py",
    }.items():
        (work / name).symlink_to(target)
    assert kept_names(work) == {"a.py", "b.py", "shared/tool.py"}
    assert look(work, (), (), ()).left_out == {
        "broken links": ["gone"],
        "links to folders without Python files": ["scratch"],
    }


def test_names_in_any_encoding_are_kept(tmp_path):
    work = tmp_path / "work"
    write(work, "ä b\n.py")
    Path(os.fsdecode(os.fsencode(work) + b"/\xff.txt")).touch()
    seen = look(work, (), (), ())
    kept = keep(work, seen, tmp_path / "cache", {})
    unpack(str(kept.folder), str(kept.archive))
    assert {os.fsencode(path.name) for path in kept.folder.iterdir()} == {path for path, *_ in seen.files}


def test_the_same_content_is_one_archive_and_other_content_another(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name, "a.py", "b.py")
    one, two = (
        keep(tmp_path / name, look(tmp_path / name, (), (), ()), tmp_path / "cache", {})
        for name in ("one", "two")
    )
    assert one.archive == two.archive
    write(tmp_path / "two", "b.py", text="x = 2\n")
    changed = keep(tmp_path / "two", look(tmp_path / "two", (), (), ()), tmp_path / "cache", {})
    assert changed_files(one.archive, changed.archive) == ["b.py"]


def test_a_python_file_with_a_secret_is_refused_and_another_file_left_out(tmp_path):
    write(tmp_path / "work", "a.py")
    write(tmp_path / "work", "notes.txt", text="my token is hf_abcdefgh1")
    assert kept_names(tmp_path / "work", HF_TOKEN="hf_abcdefgh1") == {"a.py"}
    write(tmp_path / "work", "login.py", text="TOKEN = 'hf_abcdefgh1'")
    with pytest.raises(ConfigError, match=r"login\.py holds the value of HF_TOKEN"):
        kept_names(tmp_path / "work", HF_TOKEN="hf_abcdefgh1")


def test_missing_files_of_an_unpacked_copy_are_written_again(tmp_path):
    write(tmp_path / "work", "a.py", "b.py")
    kept = keep(tmp_path / "work", look(tmp_path / "work", (), (), ()), tmp_path / "cache", {})
    unpack(str(kept.folder), str(kept.archive))
    (kept.folder / "a.py").unlink()
    unpack(str(kept.folder), str(kept.archive))
    assert (kept.folder / "a.py").read_text() == "x = 1\n"
    with pytest.raises(RunError, match="is missing; start it with the present code: freeze=false"):
        unpack(str(kept.folder), str(tmp_path / "none.tar"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_that_holds_a_secret_in_utf_16_is_left_out(tmp_path, encoding: str):
    write(tmp_path / "work", "a.py")
    (tmp_path / "work" / "notes.txt").write_text("my token is hf_abcdefgh1", encoding=encoding)
    assert kept_names(tmp_path / "work", HF_TOKEN="hf_abcdefgh1") == {"a.py"}


@pytest.mark.parametrize("name", ["a.py", "added.py"])
def test_a_copy_that_was_changed_is_put_aside_and_unpacked_anew(tmp_path, capsys, name: str):
    write(tmp_path / "work", "a.py", "b.py")
    kept = keep(tmp_path / "work", look(tmp_path / "work", (), (), ()), tmp_path / "cache", {})
    unpack(str(kept.folder), str(kept.archive))
    write(kept.folder, "__pycache__/a.pyc")  # imports write these
    unpack(str(kept.folder), str(kept.archive))
    assert not capsys.readouterr().err
    (kept.folder / name).unlink(missing_ok=True)
    write(kept.folder, name, text="x = 3\n")
    unpack(str(kept.folder), str(kept.archive))
    assert {path.name: path.read_text() for path in kept.folder.iterdir()} == dict.fromkeys(
        ("a.py", "b.py"), "x = 1\n"
    )
    (aside,) = kept.folder.parent.glob("*.changed.*")
    assert (aside / name).read_text() == "x = 3\n" and str(aside) in capsys.readouterr().err


def test_git_tells_of_submodules_what_it_tells_of_the_repository(tmp_path):
    def git(folder: Path, *words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")
        subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)

    for name in ("part", "whole"):
        write(tmp_path / name, "a.py", "out/x.txt", text="one\n")
        (tmp_path / name / ".gitignore").write_text("out/\n")
        git(tmp_path / name, "init", "--quiet")
        git(tmp_path / name, "add", "--all")
        git(tmp_path / name, "commit", "--quiet", "--message=x")
    whole = tmp_path / "whole"
    git(whole, "submodule", "--quiet", "add", str(tmp_path / "part"), "lib/part")
    git(whole, "commit", "--quiet", "--message=y")
    write(whole, "lib/part/a.py", "lib/part/new.py", "lib/part/out/y.txt", text="two\n")
    asked = Git(whole)
    assert set(asked.ignored()) == {b"out/", b"lib/part/out/"}
    assert {"lib/part/a.py", "lib/part/new.py"} <= set(asked.state().changed)
    assert "+two" in asked.state().diff


def test_git_tells_commit_changes_and_ignored_folders(tmp_path, monkeypatch):
    write(tmp_path, "a.py", ".env", "out/x.txt", text="one\n")
    (tmp_path / ".gitignore").write_text("out/\n")

    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    git("init", "--quiet")
    assert Git(tmp_path).state().commit is None  # no commit yet
    git("add", "--all")
    git("commit", "--quiet", "--message=x")
    write(tmp_path, "a.py", ".env", "new.py", text="two\n")
    asked = Git(tmp_path)
    assert asked.ignored() == [b"out/"]
    state = asked.state()
    assert len(state.commit or "") == 40
    assert set(state.changed) == {"a.py", ".env", "new.py"}
    assert "+two" in state.diff
    assert ".env" not in state.diff
    git("add", "a.py")
    assert Git(tmp_path).state().diff == state.diff  # the same, although it is staged
    monkeypatch.setenv("PATH", "")
    assert Git(tmp_path).state().commit is None


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("sleep 5", "git did not answer within 0.2 s"),
        ("echo 'fatal: dubious ownership' >&2; exit 128", "git failed (fatal: dubious ownership)"),
    ],
)
def test_a_git_that_says_nothing_is_told(tmp_path, monkeypatch, capfd, script: str, said: str):
    program = tmp_path / "bin" / "git"
    write(program.parent, "git", text=f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    (tmp_path / "work" / ".git").mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    asked = Git(tmp_path / "work", answer_s=0.2)
    assert asked.state().commit is None and asked.ignored() == []
    assert capfd.readouterr().err.count(f"{said} in {tmp_path / 'work'}") == 1


def test_a_file_of_code_over_256_mib_is_reported_as_code(tmp_path):
    write(tmp_path, "a.py")
    with (tmp_path / "kernel.so").open("wb") as file:
        file.truncate((256 << 20) + 1)
    assert look(tmp_path, (), (), ()).left_out == {"files of code over 256 MiB": ["kernel.so"]}


def test_a_secret_is_found_where_two_pieces_of_the_archive_meet(tmp_path):
    secret = "hf_" + "a" * 60
    folder = tmp_path / "work"
    write(folder, "a.py")
    before = 3 * 512  # two headers of tar and the other file
    for size in range(
        (1 << 20) - before - 60, (1 << 20) - before, 15
    ):  # the value begins in the first MiB and ends in the second
        (folder / "notes.txt").write_text("x" * size + secret)
        kept = keep(folder, look(folder, (), (), ()), tmp_path / "cache", {"HF_TOKEN": secret})
        assert kept.left_out == {"files that hold the value of a secret": ["notes.txt"]}


def test_two_names_of_one_file_are_kept_as_two_files(tmp_path):
    write(tmp_path / "work", "a.py")
    os.link(tmp_path / "work" / "a.py", tmp_path / "work" / "b.py")
    kept = keep(tmp_path / "work", look(tmp_path / "work", (), (), ()), tmp_path / "cache", {})
    unpack(str(tmp_path / "copy"), str(kept.archive))  # which refuses links
    assert (tmp_path / "copy" / "b.py").read_text() == "x = 1\n"
