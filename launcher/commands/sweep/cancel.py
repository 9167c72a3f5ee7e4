"""python -m launcher sweep cancel [SWEEP]: end the trials that run, and begin no others."""

import json

from launcher.clusters.slurm import Slurm
from launcher.commands.sweep.options import chosen_sweep, queued_jobs, sweep_parser
from launcher.commands.sweep.work import is_gone
from launcher.errors import Exit
from launcher.run import now, write_text
from launcher.run.events.launching import Cancelled
from launcher.sweep.claims import read_claims
from launcher.sweep.folder import SweepDir


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = sweep_parser(
        "cancel",
        "End the trials that run, and begin no others. What they have saved stays, and sweep resume goes on with them.",
        "python -m launcher sweep cancel tiny",
    )
    options = parser.parse_args(arguments)
    sweep = chosen_sweep(options)
    write_text(sweep.stop, json.dumps({"time": now(), "why": "cancelled"}) + "\n")
    ended = _cancel(sweep)
    sweep.as_run.note(Cancelled(attempt=0, job_ids=ended))
    said = f"told to end: {', '.join(ended)}" if ended else "nothing was left to cancel"
    told = f"{sweep.name}: {said}"
    print(json.dumps({"sweep": sweep.name, "cancelled": ended}) if options.json else told)
    return Exit.OK


def _cancel(sweep: SweepDir) -> list[str]:
    """Ids of the jobs, or numbers of the trials, that were told to end. Workers outside of a queue look for stop.json."""
    if sweep.read_spec()["cluster"] == "slurm":
        slurm = Slurm()
        jobs = queued_jobs(sweep, slurm)
        for job_id in jobs:
            slurm.cancel(job_id)
        return jobs
    ended: list[str] = []
    for number, claim in read_claims(sweep).items():
        holder = claim["worker"]
        if holder is None or (sweep.outcomes / f"{number}.json").exists():
            continue
        if not is_gone(holder):
            ended.append(str(number))
    return ended
