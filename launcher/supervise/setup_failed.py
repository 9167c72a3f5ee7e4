"""python -m launcher.supervise.setup_failed RUN_DIR CODE COMMAND: records that a module or setup line of job.sbatch has failed.

job.sbatch calls it before the supervisor exists; without the record, the run would only be gone.
"""

import sys
from pathlib import Path

from launcher.output import say
from launcher.run import RunDir
from launcher.run.events.supervisor import Stopped


def main(argv: list[str]) -> int:
    """0; adds the event `stopped` with the command and its exit code, and prints the same sentence."""
    folder, code, command = argv
    run = RunDir(Path(folder).resolve())
    key = "cluster.modules" if command.startswith("module ") else "cluster.setup"
    reason = f"{key}: `{command}` ended with exit code {code} before the ranks were started; correct it and launch again"
    run.note(Stopped(attempt=run.attempts() + 1, exit_code=int(code), reason=reason))
    say(str(reason))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
