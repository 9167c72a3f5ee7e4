"""python -m launcher.train RUN_DIR: one rank of a run."""

import contextlib
import os
import socket
import sys
import traceback
from pathlib import Path

from launcher import environment
from launcher.errors import DISK_FULL, Exit, LauncherError, NotAsPlanned
from launcher.masking import mask
from launcher.plugins.decide import Decided, read_run
from launcher.run import RunDir
from launcher.run.events.ranks import Crashed
from launcher.run.lanes import lanes_file
from launcher.train.heartbeat import Heartbeat
from launcher.train.noise import leave_out_noise


def main(argv: list[str]) -> int:
    """The exit code of the rank; a failure is an event with host, rank and the last lines of the traceback.

    Metrics, events and the rank's log can be on the disk of the checkpoints. If it is full, only the exit code reports that.
    """
    try:
        return _train(RunDir(Path(argv[0]).resolve()))
    except OSError as error:
        if error.errno in DISK_FULL:
            return Exit.SAVE_FAILED
        raise


def _train(run: RunDir) -> int:
    heartbeat = Heartbeat()
    try:
        decided = read_run(run)
        check_world(decided)
        heartbeat.phase("import")
        leave_out_noise()
        if lanes_file(run).exists():
            from launcher.train.lanes.group import train_group

            return train_group(run, decided, heartbeat)
        from launcher.train.session import train  # a slow import, so the number of ranks is checked first

        return train(run, decided, heartbeat)
    except LauncherError as error:
        print(mask(f"launcher: {error}"), file=sys.stderr, flush=True)
        _note(run, str(error), [])
        return error.exit_code
    except Exception as error:
        print(mask(traceback.format_exc()), file=sys.stderr, end="", flush=True)
        _note(run, f"{type(error).__name__}: {error}", traceback.format_exc().splitlines()[-12:])
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            return Exit.SAVE_FAILED
        return Exit.OUT_OF_MEMORY if type(error).__name__ == "OutOfMemoryError" else Exit.FAILED


def check_world(decided: Decided) -> None:
    """NotAsPlanned if the number of started ranks is not the planned one.

    Some launchers start one rank although two were requested, and exit with 0.
    """
    found, planned = int(os.environ.get(environment.WORLD_SIZE, "1")), decided.plan.topology.world_size
    if found != planned:
        raise NotAsPlanned(
            f"world_size is {found} on {socket.gethostname()} and {planned} in the plan; start the ranks with node.sh, or "
            f"plan the run again for {found}"
        )


def _note(run: RunDir, error: str, lines: list[str]) -> None:
    run.note(
        Crashed(
            attempt=int(os.environ.get(environment.ATTEMPT, "1")),
            host=socket.gethostname(),
            rank=int(os.environ.get(environment.RANK, "0")),
            error=error[:2000],
            traceback=lines,
        )
    )


if __name__ == "__main__":
    code = main(sys.argv[1:])
    with contextlib.suppress(OSError):  # a full disk must not change the exit code
        sys.stdout.flush()
        sys.stderr.flush()
    # The interpreter does not shut down normally: after a failure other ranks may be inside a collective that never ends, and
    # after a success it would only take seconds.
    os._exit(code)
