"""What travels to a cluster: once, whole, and the same as here."""

import pytest

from launcher.errors import ClusterError
from launcher.remote.content import Hashes, Tree, data_tree
from launcher.remote.send import send
from launcher.remote.talk import LOOKED_WHOLE, ask, talk


def _look(connection, *trees: Tree):
    blobs = {blob.sha for tree in trees for blob in tree.blobs}
    names = [tree.name for tree in trees]
    return ask(
        connection,
        "python3",
        {"do": "look", "base": "~/launcher", "files": sorted(blobs), "trees": names},
        LOOKED_WHOLE,
    )


def test_a_folder_arrives_as_it_is_and_only_once(login, connection, tmp_path):
    (tmp_path / "it's a file.jsonl").write_text("one\n")
    (tmp_path / "same").write_text("one\n")
    files = {"a b/it's a file.jsonl": tmp_path / "it's a file.jsonl", "same": tmp_path / "same"}
    tree = data_tree(files, Hashes(tmp_path))
    there = _look(connection, tree)
    send(connection, "python3", "~/launcher", [tree], there)
    arrived = login.home / "launcher" / "sent" / tree.name
    assert (arrived / "a b" / "it's a file.jsonl").read_text() == "one\n"
    assert (arrived / "same").stat().st_ino == (arrived / "a b" / "it's a file.jsonl").stat().st_ino
    there = _look(connection, tree)
    assert there["trees"] == [tree.name] and set(there["have"].values()) == {-1}


def test_a_transfer_that_is_cut_continues_where_it_was(login, connection, tmp_path):
    content = bytes(range(256)) * 16_384
    (tmp_path / "large").write_bytes(content)
    tree = data_tree({"large": tmp_path / "large"}, Hashes(tmp_path))
    (blob,) = tree.blobs
    request = {
        "do": "take", "base": "~/launcher", "files": [{"sha": blob.sha, "size": blob.size, "offset": 0}],
        "trees": [{"name": tree.name, "files": [("large", blob.sha)], "archive": None}],
    }  # fmt: skip
    with talk(connection, "python3", request) as one:
        one.send.write(content[: len(content) // 2])
        one.send.flush()
        one.process.kill()
    there = _look(connection, tree)
    assert there["trees"] == [] and 0 <= there["have"].get(blob.sha, 0) <= len(content) // 2
    assert not (login.home / "launcher" / "sent" / tree.name).exists()
    send(connection, "python3", "~/launcher", [tree], there)
    assert (login.home / "launcher" / "sent" / tree.name / "large").read_bytes() == content


def test_a_file_that_changes_between_is_refused_and_leaves_nothing(login, connection, tmp_path):
    file = tmp_path / "train.jsonl"
    file.write_text("first\n")
    tree = data_tree({"train.jsonl": file}, Hashes(tmp_path))
    file.write_text("other\n")
    with pytest.raises(ClusterError, match="changed while it was sent; nothing was launched"):
        send(connection, "python3", "~/launcher", [tree], _look(connection, tree))
    there = _look(connection, tree)
    assert there["trees"] == [] and there["have"] == {}


def test_a_file_that_became_shorter_is_refused(connection, tmp_path):
    file = tmp_path / "train.jsonl"
    file.write_text("first and long\n")
    tree = data_tree({"train.jsonl": file}, Hashes(tmp_path))
    file.write_text("short\n")
    with pytest.raises(ClusterError, match="became shorter while it was sent"):
        send(connection, "python3", "~/launcher", [tree], _look(connection, tree))
    assert _look(connection, tree)["trees"] == []


def test_what_does_not_fit_there_is_refused_before_it_is_sent(connection, tmp_path):
    (tmp_path / "file").write_text("some bytes")
    tree = data_tree({"file": tmp_path / "file"}, Hashes(tmp_path))
    with pytest.raises(ClusterError, match=r"has 3 bytes free|has .* free, and .* would be sent"):
        send(connection, "python3", "~/launcher", [tree], {**_look(connection, tree), "free": 3})


def test_a_hash_is_computed_again_for_another_content(tmp_path):
    (tmp_path / "file").write_text("one")
    hashes = Hashes(tmp_path)
    first = hashes.blob(tmp_path / "file")
    hashes.save()
    assert Hashes(tmp_path).blob(tmp_path / "file") == first
    (tmp_path / "file").write_text("another")
    assert Hashes(tmp_path).blob(tmp_path / "file").sha != first.sha
