"""python -m launcher cancel [RUN]: end a run's job."""

import json
import socket

from launcher.clusters.choose import job_cluster
from launcher.commands.options import add_run, chosen_run, make_parser
from launcher.errors import Exit, RunError
from launcher.launching.write import settle
from launcher.run.events.launching import Cancelled
from launcher.run.events.supervisor import Started
from launcher.status.state import is_over, read_status


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = make_parser(
        "cancel", "End a run's job. What it has saved stays.", "python -m launcher cancel quickstart"
    )
    add_run(parser)
    options = parser.parse_args(arguments)
    run = chosen_run(options)
    settle(run)
    before = read_status(run)
    if before.job_id is None:
        raise RunError(f"{run.name} has no job to cancel: it was never submitted")
    if is_over(before.state):
        said = f"{run.name} is {before.state.value}: there is nothing to cancel"
    else:
        job = run.read_json(run.job)
        started = run.read_events(Started)
        host = started[-1].host if started else None
        if job["cluster"] == "local" and host not in (None, socket.gethostname()):
            raise RunError(
                f"{run.name} runs on {host}, and this is {socket.gethostname()}; type the command there"
            )
        job_cluster(str(job["cluster"])).cancel(before.job_id)
        run.note(Cancelled(attempt=before.attempts, job_id=before.job_id))
        said = f"{run.name}: job {before.job_id} was told to end"
    if options.json:
        said = json.dumps({"run": run.name, "job_id": before.job_id, "state": read_status(run).state.value})
    print(said)
    return Exit.OK
