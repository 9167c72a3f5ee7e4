"""Files of run dirs and sweeps that are read by more than verbs; those of verbs are in test_broken_files.py."""

import contextlib
import dataclasses
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import hydra

from launcher.checkpoint.manifest import read_manifest
from launcher.checkpoint.pieces import Piece, read_index, write_file, write_pieces
from launcher.clusters.registry import find_cluster
from launcher.config import read_config, register
from launcher.errors import AlreadyRunning, CheckpointError
from launcher.launching.freeze.unpack import changed_files, unpack
from launcher.plugins.decide import read_run
from launcher.resources import resource_dir
from launcher.run import RunDir
from launcher.run.code import Code, Root, read_code, write_code
from launcher.supervise.insurance import why_unneeded
from launcher.supervise.lease import Lease
from launcher.sweep.claims import Worker, claim, is_gone, own, read_claims
from launcher.sweep.folder import SweepDir
from tests.security.surfaces.base import (
    Surface,
    as_json,
    file_of,
    verb,
    with_file,
)

_TINY = ("+experiment=tiny", "cluster=local", "dry_run=true", "freeze=false")


def run_files(folder: Path) -> list[Surface]:
    """Files of a run dir that are read by more than verbs; those of verbs are in test_broken_files.py."""
    run = RunDir(folder / "name" / "date")
    who = {"cluster": "local", "job_id": None, "restart": 0, "host": "n1", "pid": 1, "started": 1}
    insurance = {"cluster": "slurm", "job_id": "78", "after": "77", "script": "0" * 64, "state": "waits"}
    step = run.checkpoints / "step_00000008"
    step.mkdir(parents=True)
    facts = write_pieces(
        step / "rank_00000.safetensors", [Piece("model/a", 0, 2, "F32")], memoryview(bytes(8))
    )
    state = write_file(step / "rank_00000.json", [memoryview(b"{}")])
    files = {
        "rank_00000.safetensors": dataclasses.asdict(facts),
        "rank_00000.json": dataclasses.asdict(state),
    }
    manifest: dict[str, Any] = {
        "format": 1, "step": 8, "samples": 64, "tokens": 640, "epoch": 0.2, "world_size": 1, "strategy": "single",
        "run": run.name, "attempt": 1, "plan_digest": "0" * 64, "global_batch_size": 8, "samples_per_epoch": 160, "seed": 1,
        "why": "interval", "eval_loss": 1.5, "time": "2026-03-01T08:00:00+00:00", "versions": {"torch": "2"},
        "parameters": {"a": [2, 2]}, "files": files,
    }  # fmt: skip

    def take_lease() -> None:
        with contextlib.suppress(AlreadyRunning):
            Lease(run, who).take(lambda holder: True, wait_s=0)

    register()
    with hydra.initialize_config_dir(str(resource_dir("conf")), version_base="1.3"):
        from omegaconf import OmegaConf

        config = OmegaConf.to_yaml(hydra.compose("config", ["+experiment=tiny"]))
    planned = RunDir(Path(json.loads(verb(*_TINY, f"runs_dir={folder}", "--json").out)["run_dir"]))
    plan, kept = planned.plan.read_bytes(), planned.config.read_bytes()
    return [
        Surface(name="lease.json", good=as_json({**who, "nonce": "a", "time": ""}), suffix=".json",
                read=file_of(run.lease, take_lease)),
        Surface(name="insurance.json, as the job reads it that it names", good=as_json(insurance), suffix=".json",
                read=file_of(run.insurance, lambda: why_unneeded(run, find_cluster("slurm"), "78"))),
        Surface(name="manifest.json", good=as_json(manifest), suffix=".json",
                read=file_of(step / "manifest.json", lambda: read_manifest(step))),
        Surface(name="pieces of a checkpoint", good=(step / "rank_00000.safetensors").read_bytes(), suffix="",
                read=file_of(step / "rank_00001.safetensors", lambda: read_index(step / "rank_00001.safetensors")),
                refuses=(CheckpointError,)),
        Surface(name="config.yaml", good=config.encode(), suffix=".yaml",
                read=file_of(run.config, lambda: read_config(str(run.config))), cost=20),
        Surface(name="plan.json, as a supervisor reads it", good=plan, suffix=".json", cost=30,
                read=file_of(planned.plan, lambda: with_file(planned.config, kept, lambda: read_run(planned)))),
        Surface(name="config.yaml, as a supervisor reads it", good=kept, suffix=".yaml", cost=30,
                read=file_of(planned.config, lambda: with_file(planned.plan, plan, lambda: read_run(planned)))),
    ]  # fmt: skip


def sweep_files(folder: Path) -> list[Surface]:
    """Claims; the other files of a sweep are in test_broken_files.py."""
    sweep = SweepDir(folder)
    worker = Worker(task="77_1", host="n1", pid=2, started=3)
    good = {
        "worker": dataclasses.asdict(worker),
        "time": "",
        "values": {"seed": "1"},
        "params": {},
        "generation": 0,
    }

    def take() -> None:
        own(sweep, worker)
        read_claims(sweep)
        claim(sweep, 0, worker, lambda holder: is_gone("local", holder))
        (sweep.claims / "0.1.json").unlink(missing_ok=True)

    return [
        Surface(
            name="claim of a trial",
            good=as_json(good),
            suffix=".json",
            read=file_of(sweep.claims / "0.0.json", take),
        )
    ]


def code_files(folder: Path) -> list[Surface]:
    """The kept code of a run."""
    archive, record = folder / "good.tar", folder / "code.json"
    with tarfile.open(archive, "w") as members:
        for name in ("./a.py", "./b/c.py"):
            member = tarfile.TarInfo(name)
            member.size = 6
            members.addfile(member, io.BytesIO(b"a = 1\n"))
    root = Root(
        kind="work",
        source="/w",
        folder=str(folder / "copy"),
        archive=str(archive),
        only=("a",),
        ignored=("i",),
    )
    write_code(record, Code(roots=(root,), commit="a", packages={"a": "1"}, data={"d": "1"}, skipped=("/s",)))
    broken = folder / "broken.tar"
    numbers = iter(range(1 << 30))
    return [
        Surface(name="code.json", good=record.read_bytes(), suffix=".json", read=file_of(record, lambda: read_code(record))),
        Surface(name="archive of code, compared", good=archive.read_bytes(), suffix="",
                read=file_of(broken, lambda: changed_files(archive, broken))),
        Surface(name="archive of code, unpacked", good=archive.read_bytes(), suffix="", cost=10,
                read=file_of(broken, lambda: unpack(str(folder / f"copy_{next(numbers)}"), str(broken)))),
    ]  # fmt: skip
