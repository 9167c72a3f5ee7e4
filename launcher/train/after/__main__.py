"""python -m launcher.train.after: work with a run before or after its training, requested by a verb of the command line.

The first line of stdin is the request, a message of launcher.protocol.work.requests, and each line of stdout a reply: the
progress, and at the end the result or a WorkError. Libraries' output goes to stderr.
"""

import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import IO, Any

from launcher.errors import Exit, LauncherError
from launcher.masking import mask
from launcher.protocol.codec import Message, ProtocolError
from launcher.protocol.lines import read_lines, write_line
from launcher.protocol.work.requests import (
    REQUESTS,
    CompareWithBase,
    MakeExport,
    MakeGguf,
    MakeTokens,
    OpenChat,
    ScoreClassifier,
    ScoreOnTasks,
    ServeModel,
    SortTexts,
    StoreTeacher,
    WorkRequest,
)
from launcher.protocol.work.results import WorkError, WorkProgress
from launcher.run import RunDir
from launcher.train.noise import leave_out_noise

_MODULES: dict[type[WorkRequest], str] = {
    MakeExport: "after.export_run",
    MakeGguf: "after.gguf",
    CompareWithBase: "after.judge",
    ScoreClassifier: "after.sorted_rows",
    ScoreOnTasks: "after.scored_tasks",
    OpenChat: "after.talk",
    ServeModel: "after.served",
    SortTexts: "after.sorted_rows",
    MakeTokens: "data.ahead",
    StoreTeacher: "teach",
}
"""Kind of request -> the module of launcher.train whose function `answer` returns its result."""


def main() -> int:
    """The exit code."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def say(reply: Message) -> None:
        write_line(out, reply)

    try:
        request = _read_request(sys.stdin.buffer)
        say(WorkProgress(what="loading the libraries"))
        leave_out_noise()
        quiet()
        sys.path[:0] = _folders(request)
        say(importlib.import_module(f"launcher.train.{_MODULES[type(request)]}").answer(request, say))
        return Exit.OK
    except LauncherError as error:
        say(WorkError(message=str(error), exit_code=int(error.exit_code)))
        return error.exit_code
    except ProtocolError as error:
        say(
            WorkError(
                message=f"the command sent {error}; is it of another version of launcher?",
                exit_code=int(Exit.FAILED),
            )
        )
        return Exit.FAILED
    except Exception as error:
        print(mask(traceback.format_exc()), file=sys.stderr, end="", flush=True)
        first = str(error).strip().partition("\n")[0]
        say(WorkError(message=f"{type(error).__name__}: {first}", exit_code=int(Exit.FAILED)))
        return Exit.FAILED


def _read_request(stdin: IO[bytes]) -> Any:
    """The request in the first line; ProtocolError without one."""
    for request in read_lines(stdin, REQUESTS):
        return request
    raise ProtocolError("no request")


def quiet() -> None:
    """Silences the libraries' progress output, because the calling command shows progress."""
    import datasets
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()


def _folders(request: WorkRequest) -> list[str]:
    """Folders in which the modules of plugins are found, as on the ranks: the kept code, and the folder of the launch."""
    if not (opened := request.opened_run()):
        return []
    run = RunDir(Path(opened))
    if not run.plan.is_file():
        return []
    facts = run.read_json(run.plan)["facts"]
    return [*(folder for folder in facts.get("code", {}) if Path(folder).is_dir()), facts["work_dir"]]


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # no interpreter shutdown, which would only take seconds
