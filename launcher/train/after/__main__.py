"""python -m launcher.train.after: work with a run after or ahead of its training, requested by a verb of the command line.

The first line of stdin is the request, one JSON object with its `verb`; lines of JSON on stdout answer it: {"progress": ...},
{"text": ...}, and at the end {"result": ...} or {"error": ..., "exit_code": ...}. Libraries' output goes to stderr.
"""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from launcher.errors import Exit, LauncherError
from launcher.run import RunDir
from launcher.train.noise import leave_out_noise

Say = Callable[..., None]
_MODULES = {
    "export": "after.export_run",
    "chat": "after.talk",
    "evaluate": "after.judge",
    "tokenize": "data.ahead",
}


def main() -> int:
    """The exit code."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**reply: Any) -> None:
        out.write(json.dumps(reply, ensure_ascii=False) + "\n")
        out.flush()

    request = json.loads(sys.stdin.readline())
    try:
        say(progress={"what": "loading the libraries"})
        leave_out_noise()
        quiet()
        sys.path[:0] = [work_dir] if (work_dir := _work_dir(request)) else []
        say(
            result=importlib.import_module(f"launcher.train.{_MODULES[request['verb']]}").answer(request, say)
        )
        return Exit.OK
    except LauncherError as error:
        say(error=str(error), exit_code=int(error.exit_code))
        return error.exit_code
    except Exception as error:
        traceback.print_exc()
        first = str(error).strip().partition("\n")[0]
        say(error=f"{type(error).__name__}: {first}", exit_code=int(Exit.FAILED))
        return Exit.FAILED


def quiet() -> None:
    """Silences the libraries' progress output, because the calling command shows progress."""
    import datasets
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()


def _work_dir(request: dict[str, Any]) -> str | None:
    """The folder in which the run was launched; the modules of plugins are found there, as on the ranks."""
    if not request["run_dir"]:
        return None
    run = RunDir(Path(request["run_dir"]))
    return run.read_json(run.plan)["facts"]["work_dir"] if run.plan.is_file() else None


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # no interpreter shutdown, which would only take seconds
