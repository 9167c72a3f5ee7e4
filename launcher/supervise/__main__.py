"""python -m launcher.supervise RUN_DIR: carry a planned run to its end, in one or more attempts.

The last line of job.sbatch becomes this process, the supervisor. It takes the run's lease, starts an agent on every node
(node.sh, by Cluster.step_command), and leads the attempts. After an attempt, it does what launcher.supervise.policy decides:
finish, start the ranks again, queue the job again, or stop and say why.

    --kept              job.sbatch has started it, and starts it again if a signal ends it; it ends with that script
    --succeed TERM      an agent has started it, to lead the job in that term (launcher.supervise.job)
    --heartbeat TIME    with --succeed: the newest heartbeat of the supervisor that is lost
"""

import argparse
import contextlib
import sys
from pathlib import Path

from launcher.config import read_config
from launcher.errors import DISK_FULL, Exit, LauncherError
from launcher.output import say
from launcher.processes import death_with_parent, start_in_utf8
from launcher.run import RunDir
from launcher.run.events import supervisor as noted
from launcher.supervise.job import supervise, take_over
from launcher.supervise.notify import FAILED, Notifier
from launcher.supervise.steady import SteadyRun


def main(argv: list[str]) -> int:
    """The exit code of the job."""
    parser = argparse.ArgumentParser(prog="launcher.supervise", add_help=False)
    parser.add_argument("run_dir", nargs="?", default=".")
    parser.add_argument("--kept", action="store_true")
    parser.add_argument("--succeed", type=int)
    parser.add_argument("--heartbeat", type=int)
    given = parser.parse_args(argv)
    run = SteadyRun(Path(given.run_dir).resolve())
    if given.kept:
        death_with_parent()()
    try:
        if given.succeed:
            return take_over(run, given.succeed, given.heartbeat)
        code = supervise(run, kept=given.kept)
        run.settle()
        return code
    except LauncherError as error:
        say(str(error))
        if run.path.is_dir() and error.exit_code != Exit.ALREADY_RUNNING and not given.succeed:
            attempt = run.attempts() + 1
            run.note(noted.Stopped(attempt=attempt, exit_code=int(error.exit_code), reason=str(error)))
            run.settle()
            _tell_of_refusal(run, error)
        return error.exit_code
    except OSError as error:
        if error.errno in DISK_FULL:  # then the event with the reason cannot be written either
            say(
                f"{run.path} cannot be written ({error.strerror}); free space, then python -m launcher resume {run.name}"
            )
            return Exit.SAVE_FAILED
        raise


def _tell_of_refusal(run: RunDir, error: LauncherError) -> None:
    """Sends the message about a run that could not begin, if its configuration can be read."""
    with contextlib.suppress(LauncherError):
        items = read_config(str(run.config)).notify
        Notifier(run, items).tell(FAILED, f"The run has stopped: {error}\n{run.path}")


if __name__ == "__main__":
    start_in_utf8()
    sys.exit(main(sys.argv[1:]))
