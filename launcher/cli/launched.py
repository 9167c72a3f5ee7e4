"""What the verbs that start a run share: what they print of it, and following a run that this machine carries."""

import subprocess

from launcher.launching.compose import Composed
from launcher.launching.launch import Launched, notes_of, warn_of
from launcher.launching.summary import describe
from launcher.output import print_json
from launcher.run import RunDir


def tell(composed: Composed, launched: Launched, as_json: bool) -> None:
    """Prints the outcome of a launch, with its warnings."""
    warn_of(composed, launched.plan)
    report = launched.report(notes_of(composed, launched.plan))
    if as_json:
        print_json(report)
    else:
        print(describe(launched.run, launched.plan, report), flush=True)


def follow(run: RunDir, process: subprocess.Popen[bytes], as_json: bool) -> int:
    """The run's exit code, once its job script on this machine has ended."""
    from launcher.status.follow import follow_process  # imported here: a launch that only queues stays fast

    return follow_process(run, process, quiet=as_json)
