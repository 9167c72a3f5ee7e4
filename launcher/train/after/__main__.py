"""python -m launcher.train.after: work with a run before or after its training, requested by a verb of the command line.

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
from launcher.masking import mask
from launcher.run import RunDir
from launcher.train.noise import leave_out_noise

Say = Callable[..., None]
_MODULES = {
    "gguf": "after.gguf",
    "export": "after.export_run",
    "chat": "after.talk",
    "serve": "after.served",
    "evaluate": "after.judge",
    "classify": "after.sorted_rows",
    "tasks": "after.scored_tasks",
    "tokenize": "data.ahead",
    "teach": "teach",
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
        sys.path[:0] = _folders(request)
        say(
            result=importlib.import_module(f"launcher.train.{_MODULES[request['verb']]}").answer(request, say)
        )
        return Exit.OK
    except LauncherError as error:
        say(error=str(error), exit_code=int(error.exit_code))
        return error.exit_code
    except Exception as error:
        print(mask(traceback.format_exc()), file=sys.stderr, end="", flush=True)
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


def _folders(request: dict[str, Any]) -> list[str]:
    """Folders in which the modules of plugins are found, as on the ranks: the kept code, and the folder of the launch."""
    if not request["run_dir"]:
        return []
    run = RunDir(Path(request["run_dir"]))
    if not run.plan.is_file():
        return []
    facts = run.read_json(run.plan)["facts"]
    return [*(folder for folder in facts.get("code", {}) if Path(folder).is_dir()), facts["work_dir"]]


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # no interpreter shutdown, which would only take seconds
