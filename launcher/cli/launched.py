"""What the verbs that start a run share: what they print of it, and following a run that this machine carries."""

import json
import subprocess

from launcher.launching.compose import Composed
from launcher.launching.launch import Launched, notes_of, warn_of
from launcher.launching.summary import describe
from launcher.run import RunDir


def tell(composed: Composed, launched: Launched, as_json: bool) -> None:
    """Prints the outcome of a launch, with its warnings."""
    warn_of(composed, launched.plan)
    result = {**launched.to_dict(), "notes": notes_of(composed, launched.plan)}
    print(json.dumps(result) if as_json else describe(launched.run, launched.plan, result), flush=True)


def follow(run: RunDir, process: subprocess.Popen[bytes], as_json: bool) -> int:
    """The run's exit code, once its job script on this machine has ended."""
    from launcher.status.follow import follow_process  # imported here: a launch that only queues stays fast

    return follow_process(run, process, quiet=as_json)
