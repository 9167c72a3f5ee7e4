"""A finished run and a sweep, and the ways in which one of their files can be odd, empty, foreign or broken."""

import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from launcher.checkpoint.manifest import folder_name
from launcher.run import RunDir, append_line
from tests.support.reports import fill_run, fill_sweep
from tests.support.tiny_model import EMPTY_WEIGHTS

ESCAPE = "\x1b]0;owned\x07\x1b[2J"
"""Sets a terminal's title and clears it, where it is obeyed."""
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**30, 10**400, float("nan"), float("inf"), "", " ", ".", "..", "/", "x", "--me", "-1",
    "77", "1;touch planted", "$(touch planted)", "a\0b", "a\nb", "\ud800", "\xe4", "\u202e", ESCAPE, "[/red]", "x" * 5000,
    "/dev/zero", "9" * 5000, "os.system", [], [[]], [None], ["--me"], {}, {"": None}, {"a": {"b": 1}},
    {"_target_": "tests.security.planted.Planted"},
)  # fmt: skip
"""Values that no launch writes in most of the places."""
RAW: tuple[bytes, ...] = (
    b"", b"\n", b"null", b"[]", b"{}", b"1", b'"x"', b"{", b"\x00\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000,
    b"NaN", b'{"event": "started"}', b"\xef\xbb\xbf{}", b"\x80\x04K\x01.",
    b"- !!python/object/apply:os.system [touch planted]\n", b'seed: !!int ""\n', b"seed: !!bool x\n", b"seed: !!timestamp x\n",
    b"seed: ${seed}\n", b"seed: ${\n", b"&a [*a]\n", b"seed: 1\nseed: 2\n", b"[1]: 2\n",
)  # fmt: skip
"""Whole contents."""
FILES = (
    "plan.json", "job.json", "events.jsonl", "metrics.jsonl", "config.yaml", "data_check.json", "lease.json", "leader.json",
    "intent.json", "insurance.json", "insurance_intent.json", "code.json", "data.json", ".hydra/overrides.yaml",
    f"checkpoints/{folder_name(8)}/manifest.json",
    "exported.json", "logs/77_1/n1.log", "code/abc.tar", "earlier/1/plan.json", ".key", ".hydra/config_dir",
)  # fmt: skip
FINISHED_FILES = (*FILES, "model/adapter_config.json", "model/README.md")
KEPT_FILES = ("code.json", "config.yaml", ".hydra/overrides.yaml", ".hydra/config_dir", "plan.json")
_DOCUMENTS = (".json", ".jsonl", ".yaml")
"""Endings of files whose values can be changed one by one."""
SWEEP_FILES = (
    "sweep.json", "trials.jsonl", "outcomes/0.json", "outcomes/3.json", "claims/5.0.json", "jobs.json", "job.json", "stop.json",
    "intent.json", "events.jsonl", "0/plan.json", "0/config.yaml",
)  # fmt: skip


_TINY = ("+experiment=tiny", "cluster=local", "freeze=false")


def plan_run(folder: Path, *words: str) -> RunDir:
    """A planned run of the tiny model, in folder/runs."""
    return RunDir(Path(_dry_run(folder, folder / "runs", words)["run_dir"]))


def _dry_run(folder: Path, runs: Path, words: Sequence[str]) -> dict[str, Any]:
    """What a dry run that is typed in the folder prints."""
    command = [sys.executable, "-m", "launcher", *_TINY, *words, f"runs_dir={runs}", "dry_run=true", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fill(run: RunDir) -> RunDir:
    """Makes a planned run one that has stopped, with a checkpoint and a log; what is over can be cancelled and resumed."""
    fill_run(run)
    *lines, _ = run.events.read_text().splitlines()  # the last one says that it has finished
    run.events.write_text("\n".join(lines) + "\n")
    run.job.write_text(
        json.dumps({"cluster": "slurm", "job_id": "77", "submitted": "2026-03-01T08:00:00+00:00"})
    )
    step = run.checkpoints / folder_name(8)
    step.mkdir(parents=True)
    files = {
        name: {"bytes": 7, "crc32": "00000000"} for name in ("rank_00000.safetensors", "rank_00000.json")
    }
    for name in files:
        (step / name).write_bytes(b"weights")
    manifest: dict[str, Any] = {
        "format": 1, "step": 8, "samples": 64, "tokens": 640, "epoch": 0.2, "world_size": 1, "strategy": "single",
        "run": run.name, "attempt": 1, "plan_digest": "0" * 64, "global_batch_size": 8, "samples_per_epoch": 160, "seed": 1,
        "why": "interval", "eval_loss": 1.5, "time": "2026-03-01T08:00:00+00:00", "versions": {"torch": "2"},
        "parameters": {"a": [2, 2]}, "files": files,
    }  # fmt: skip
    (step / "manifest.json").write_text(json.dumps(manifest))
    log = run.logs / "77_1"
    log.mkdir(parents=True)
    (log / "n1.log").write_text("Traceback (most recent call last):\nRuntimeError: broken\n")
    reshaped = {
        "event": "reshaped",
        "attempt": 1,
        "before": "1 x 8",
        "after": "2 x 8",
        "reason": "",
        "earlier": "earlier/1",
    }
    append_line(run.events, {"time": "2026-03-01T08:00:00+00:00", **reshaped})
    (run.path / "earlier" / "1").mkdir(parents=True)
    shutil.copy(run.plan, run.path / "earlier" / "1")
    return run


def insure(run: RunDir) -> RunDir:
    """Gives a filled run a job that waits as its insurance."""
    insurance = {"cluster": "slurm", "job_id": "78", "after": "77", "script": "0" * 64, "state": "waits"}
    run.insurance.write_text(json.dumps(insurance))
    return run


def finish(run: RunDir) -> RunDir:
    """Makes a filled run one that has finished, with a model."""
    append_line(run.events, {"time": "2026-03-01T09:00:00+00:00", "event": "finished", "attempt": 3})
    run.export.mkdir()
    (run.export / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "a/b", "r": 8}))
    (run.export / "adapter_model.safetensors").write_bytes(EMPTY_WEIGHTS)
    (run.export / "README.md").write_text("---\nbase_model: a/b\n---\n# A model\n")
    return run


def plan_sweep(runs: Path) -> Path:
    """A finished sweep, whose trials have the configuration and the plan of a real run."""
    planned = Path(_dry_run(runs.parent, runs, ["-m", "seed=1,2,3,4,5,6"])["sweep_dir"])
    folder = planned.rename(runs / "tiny" / "sweep_2026-03-01_08-00-00")
    spec = json.loads((folder / "sweep.json").read_text())
    (folder / "sweep.json").write_text(
        json.dumps({**spec, "cluster": "slurm", "dry_run": False, "job_id": "99"})
    )
    with tempfile.TemporaryDirectory() as name:
        fill_sweep(Path(name), 6)
        shutil.copytree(Path(name, "outcomes"), folder / "outcomes", dirs_exist_ok=True)
        run = plan_run(Path(name))
        for number in range(6):
            (folder / str(number)).mkdir()
            shutil.copy(run.config, folder / str(number))
            shutil.copy(run.plan, folder / str(number))
    worker = {"task": "99_5", "host": "n1", "pid": 2, "started": 3}
    (folder / "claims" / "5.0.json").write_text(
        json.dumps({"worker": worker, "time": "", "values": {"seed": "1"}})
    )
    job = {"job_id": "99", "script": "job.sbatch", "array": "0-5", "again": False, "time": ""}
    (folder / "jobs.json").write_text(json.dumps({"arrays": [job], "told": True}))
    (folder / "job.json").write_text(json.dumps({"cluster": "slurm", "job_id": "99"}))
    return folder


def damage(folder: Path, name: str, dice: random.Random) -> str:
    """Breaks one file of a run dir or sweep, and says how."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if dice.random() < (0.1 if path.suffix in _DOCUMENTS else 0.5):
        return f"{name}: {_other_thing(path, dice)}"
    content, how = mutated(path.read_bytes() if path.is_file() else b"{}", path.suffix, dice)
    path.write_bytes(content)
    return f"{name}: {how}"


def mutated(content: bytes, suffix: str, dice: random.Random, odd: Sequence[Any] = ()) -> tuple[bytes, str]:
    """The content of a file with a fault, and which; `odd` are values to be tried beside the usual ones."""
    way = dice.random()
    if suffix in _DOCUMENTS and way < 0.65:
        return _odd_value(content, suffix, dice, odd)
    if way < 0.75:
        raw = dice.choice(RAW)
        return raw, f"holds {raw[:40]!r}"
    at = dice.randrange(len(content) + 1)
    if way < 0.85:
        return content[:at], f"ends at byte {at}"
    if way < 0.95:
        byte = bytes([dice.randrange(256)])
        return content[:at] + byte + content[at + 1 :], f"has {byte!r} at byte {at}"
    piece = content[at : at + dice.randrange(1, 200)]
    return content[:at] + piece * dice.choice((2, 3, 400)) + content[at:], f"repeats bytes from {at}"


def _other_thing(path: Path, dice: random.Random) -> str:
    path.unlink(missing_ok=True)
    kind = dice.choice(("nothing", "folder", "loop", "fifo", "zero"))
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    return f"is {kind}"


def _odd_value(content: bytes, suffix: str, dice: random.Random, odd: Sequence[Any]) -> tuple[bytes, str]:
    """Another value, or none, at some place of the document, or of one line of it."""
    if suffix == ".yaml":
        import yaml

        document, told = _change(yaml.safe_load(content), dice, odd)
        try:
            return yaml.safe_dump(document).encode(errors="surrogatepass"), told
        except (yaml.YAMLError, OverflowError, ValueError):
            return b"- " * 50_000, "is a list in a list in a list"
    lines = content.splitlines() if suffix == ".jsonl" else [content]
    at = dice.randrange(len(lines)) if lines else 0
    document, told = _change(json.loads(lines[at]) if lines else {}, dice, odd)
    try:
        lines[at : at + 1] = [json.dumps(document).encode()]
    except ValueError:  # an integer of more digits than Python prints
        lines[at : at + 1] = [b"9" * 5000]
    return b"\n".join(lines) + b"\n", f"line {at}: {told}"


def _change(document: Any, dice: random.Random, odd: Sequence[Any]) -> tuple[Any, str]:
    value = copy.deepcopy(dice.choice(odd) if odd and dice.random() < 0.4 else dice.choice(ODD))
    places = list(_places(document, ()))
    if not places or dice.random() < 0.05:
        return value, f"is {str(value)[:40]!r}"
    place = dice.choice(places)
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    if dice.random() < 0.15:
        del parent[place[-1]]
        return document, f"has no {place}"
    parent[place[-1]] = value
    return document, f"{place} is {str(value)[:40]!r}"


def _places(document: Any, above: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Where something is in a document; of a long list only its beginning."""
    items: list[tuple[Any, Any]] = []
    if isinstance(document, dict):
        items = list(cast("dict[Any, Any]", document).items())
    elif isinstance(document, list):
        items = list(enumerate(cast("list[Any]", document)))[:3]
    for key, value in items:
        yield (*above, key)
        yield from _places(value, (*above, key))


def restore(pristine: Path, folder: Path) -> None:
    """The folder as it was."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pristine, folder, symlinks=True)
