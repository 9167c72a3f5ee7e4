"""Files that an earlier command has kept for itself, which a crash or another hand may have changed."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from launcher.launching.freeze.keep import keep
from launcher.launching.freeze.look import look as look_at
from launcher.launching.inspect_model import inspected
from launcher.launching.kept import remembered
from launcher.look.record import Disk, Gpus, Interface, Link, NodeRecord, read_records
from launcher.managed.records import Records
from launcher.plan.model import read_architecture
from launcher.remote.content import Hashes
from launcher.supervise.hosts import recent_suspects
from tests.security.surfaces.base import Surface, as_json, as_lines, example, file_of
from tests.security.surfaces.downloads import MODEL
from tests.security.surfaces.named import ROWS


def caches(folder: Path) -> list[Surface]:
    """Files that an earlier command has kept, which a crash or another hand may have changed."""
    cache, runs = folder / "cache", folder / "runs"
    data = folder / "rows.jsonl"
    data.write_bytes(as_lines(ROWS[:1]))
    remembered((str(data),), {}, cache, lambda: {"rows": 1})
    check = next((cache / "data_checks").iterdir())
    hashes = cache / "ssh_hashes.json"
    digest = hashlib.sha256(json.dumps(MODEL, sort_keys=True).encode()).hexdigest()[:32]
    shapes = cache / "architectures" / f"{digest}.json"
    source = folder / "source"
    source.mkdir()
    (source / "a.py").write_text("a = 1\n")

    def keep_code() -> None:
        keep(source, look_at(source, (), [], []), cache / "code", {})

    keep_code()
    index = next((cache / "code" / "index").iterdir())
    shape = read_architecture(MODEL)
    assert shape is not None
    records = Records(runs)
    record = {"tag": "t", "begun": "", "job": {"id": "j", "status": "queued"}, "base_url": "b", "asked": {}}
    node = NodeRecord(
        index=0, host="n1", python="3", architecture="x", torch=None, cores=1, ib_gb_s=0.0, limits=[]
    )
    filled = {
        "gpus": example(Gpus), "interfaces": [example(Interface)], "links": [example(Link)], "disks": [example(Disk)],
    }  # fmt: skip
    look = folder / "look"
    faults = folder / "state" / "launcher" / "hosts.jsonl"

    def forget_and_remember() -> None:
        from launcher.launching import kept

        kept._known.clear()  # pyright: ignore[reportPrivateUsage] - another process reads it
        found = remembered((str(data),), {}, cache, lambda: {"rows": 1})
        assert isinstance(found, dict)

    def use_records() -> None:
        for use in (records.newest, lambda: records.find("j"), lambda: records.read("t")):
            use()

    def use_faults() -> None:
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        try:
            recent_suspects()
        finally:
            del os.environ["XDG_STATE_HOME"]

    return [
        Surface(name="a kept data check", good=as_json({"rows": 1}), suffix=".json", read=file_of(check, forget_and_remember)),
        Surface(name="kept digests of sent files", good=as_json({str(data): [1, 2, 3, "a"]}), suffix=".json",
                read=file_of(hashes, lambda: Hashes(cache).blob(data))),
        Surface(name="list of kept archives of code", good=index.read_bytes(), suffix=".json",
                read=file_of(index, keep_code), cost=5),
        Surface(name="a kept shape of a model", good=as_json(dataclasses.asdict(shape)), suffix=".json",
                read=file_of(shapes, lambda: inspected(MODEL, str(cache)))),
        Surface(name="record of an API's job", good=as_json(record), suffix=".json",
                read=file_of(records.path("t"), use_records)),
        Surface(name="record of uploads to an API", good=as_json({"b s": "file"}), suffix=".json",
                read=file_of(records.folder / "uploaded.json", lambda: records.uploaded("b", "s"))),
        Surface(name="record of a looked-at node", good=as_json({**dataclasses.asdict(node), **filled}), suffix=".json",
                read=file_of(look / "node_0.json", lambda: read_records(look))),
        Surface(name="faults of hosts", good=as_lines([{"time": 1e12, "host": "n1", "what": "slow", "run": "r"}] * 2),
                suffix=".jsonl", read=file_of(faults, use_faults)),
    ]  # fmt: skip
