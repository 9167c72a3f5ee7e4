"""How long training waits for a save, and how soon it continues after a rank is killed."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.gpu.models import model, size_for
from tests.gpu.place import Place, typed, variables, why
from tests.support.runs import Finished

NAMES = ("0.5B full", "1.5B lora")
_LIMIT_S = 540


def names() -> list[str]:
    """The cases."""
    return list(NAMES)


def try_one(place: Place, name: str) -> dict[str, Any]:
    """Seconds of every save, and from the kill of the rank to the next step of a new one."""
    shape, kind = name.split()
    place.need_gib(24, name)
    source = model(place, size_for(place, shape))
    folder = place.folder(f"saves {name}")
    (folder / "data.jsonl").write_text((json.dumps({"text": "abcdefgh " * 400}) + "\n") * 64)
    every, steps = (10, 60) if place.device == "cuda" else (4, 12)
    overrides = (
        f"plugin=[{'lora,' if kind == 'lora' else ''}sharded_checkpoint]", f"plugins.sharded_checkpoint.save_steps={every}",
        f"model.name_or_path={source}", "model.init=pretrained", "data.format=text", "data.path=data.jsonl", "data.check=off",
        "data.eval_path=null", "trainer.assistant_only_loss=false", f"trainer.max_steps={steps}", "model.max_length=1024",
        "batch.global_batch_size=1", "batch.micro_batch_size=1", "trainer.learning_rate=1e-5", "trainer.sample_prompt=null",
        "trainer.logging_steps=1",
    )  # fmt: skip
    process = subprocess.Popen(
        typed(place, *overrides), cwd=folder, env=variables(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if "run_dir" not in first:
            raise RuntimeError(first + (process.stderr.read() if process.stderr else ""))
        run = Finished(Path(json.loads(first)["run_dir"]))
        saved = _wait(run, process, lambda: len(_events(run, "saved")) >= 2)
        killed, warm = _kill_rank(run) if saved else (None, False)
        _, said = process.communicate(timeout=_LIMIT_S)
    finally:
        process.kill()
    if process.returncode:
        raise RuntimeError(why(run, said))
    again = _restarted(run, killed) if killed else None
    saves = _events(run, "saved")
    return {
        "bytes": saves[0].get("bytes"), "blocked_s": [round(one["blocked_s"], 4) for one in saves],
        "total_s": [round(one["total_s"], 3) for one in saves if one.get("total_s") is not None],
        "restart_s": again, "warm": warm, "attempts": len(_events(run, "started")),
    }  # fmt: skip


def _events(run: Finished, name: str) -> list[dict[str, Any]]:
    return run.events(name) if (run.path / "events.jsonl").exists() else []


def _wait(run: Finished, process: subprocess.Popen[str], is_there: Any) -> bool:
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if is_there():
            return True
        time.sleep(0.05)
    return False


def _kill_rank(run: Finished) -> tuple[float | None, bool]:
    """When the rank of this run was killed, and whether a warm process had forked it. A rank works in the run dir."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            is_rank = (entry / "cwd").readlink() == run.path.resolve()
            line = (entry / "cmdline").read_text()
        except OSError:
            continue
        if is_rank and "launcher.train" in line:
            os.kill(int(entry.name), signal.SIGKILL)
            return time.time(), "launcher.train.warm" in line
    return None, False


def _restarted(run: Finished, killed: float) -> float | None:
    """Seconds from the kill to the end of the first step after it."""
    import datetime

    for line in run.metrics():
        if "loss" not in line:
            continue
        moment = datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()
        if moment > killed + 0.5:
            return round(moment - killed, 2)
    return None
