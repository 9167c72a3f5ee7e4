"""A process that has the fake device and the training stack, and forks a rank for every run that it is given."""

import gc
import importlib
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT
from tests.support.runs import environment

HEAVY = (
    "hydra", "omegaconf", "launcher.plugins.decide", "deepspeed", "datasets", "trl.trainer.sft_trainer", "peft",
    "launcher.train.session", "launcher.train.methods.sft",
    "launcher.train.methods.pretrain", "torch.distributed.fsdp", "torch.distributed._tools.fake_collectives",
)  # fmt: skip


class Server:
    """A client of one such process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakecuda.serve"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=environment(
                TOKENIZERS_PARALLELISM="false", PYTHONWARNINGS="ignore", CUDA_VISIBLE_DEVICES="", DS_ACCELERATOR="cuda"
            ),
        )  # fmt: skip

    def train(self, run: Path, **options: Any) -> dict[str, Any]:
        """What tests.fakecuda.rank.train returns, with the path of the rank's log."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"path": str(run), **options}) + "\n")
        self._process.stdin.flush()
        return {**json.loads(self._process.stdout.readline()), "log": str(run / "rank.log")}

    def close(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.wait()


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from tests.fakecuda import guard

    guard.load()
    gc.disable()
    for name in HEAVY:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a rank would otherwise go through all modules
    gc.enable()
    for line in sys.stdin:
        out.write(_fork(json.loads(line)) + "\n")
        out.flush()


def _fork(request: dict[str, Any]) -> str:
    """The JSON that a child prints."""
    path = Path(request.pop("path"))
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        found: dict[str, Any] = {"error": "the rank ended early"}
        try:
            log = os.open(path / "rank.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(path)
            from tests.fakecuda.rank import train

            found = train(path, **request)
        except BaseException as error:
            traceback.print_exc()
            found = {"error": repr(error)[:500]}
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(writable, json.dumps(found).encode())
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said or json.dumps({"error": "the rank was killed"})


if __name__ == "__main__":
    main()
