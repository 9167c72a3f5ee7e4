"""A worker claims trials of a sweep and runs each to its end. The tasks of a sweep's array are such workers.

A worker has one trial at a time: it writes the run dir of the trial, runs it, writes its outcome and tells the study. A task
that is queued again resumes the trial that it had.
"""

import json
import os
import sys
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from launcher.clusters.registry import find_cluster, job_cluster
from launcher.errors import Exit, LauncherError
from launcher.output import say
from launcher.run import now, write_text
from launcher.supervise.children import StopSignal
from launcher.sweep import claims
from launcher.sweep.carry import carry, write_trial
from launcher.sweep.claims import Worker
from launcher.sweep.folder import SweepDir, read_planned
from launcher.sweep.outcome import CANCELLED, FAILED, ended_before, keep, settle
from launcher.sweep.study import Study, as_typed
from launcher.sweep.take import Taker
from launcher.sweep.together.carry_group import GroupCarrier

_CUT = (Exit.REQUEUED, Exit.ALREADY_RUNNING)
"""Exit codes of a supervisor after which the trial continues in another job."""


class Work:
    """One worker."""

    def __init__(self, sweep: SweepDir, first: int) -> None:
        self.sweep = sweep
        self.stopped = StopSignal()
        self.spec = sweep.read_spec()
        # without a queue, several workers may run inside one array task, which then does not belong to the sweep
        cluster = find_cluster(self.spec["cluster"])
        job = cluster.job(os.environ) if cluster.queued else None
        self.worker = Worker.here(job)
        os.chdir(self.spec["work_dir"])
        if not sweep.as_run.code.is_file():  # otherwise PYTHONPATH names the kept code
            sys.path.insert(0, self.spec["work_dir"])
        self.planned = {
            line["number"]: line for line in read_planned(sweep) if line["number"] < self.spec["trials"]
        }
        searches = self.spec["sampler"] != "grid" or self.spec["pruner"] != "none"
        self.study = Study(sweep, self.spec, self._seed()) if searches else None
        self.taker = Taker(
            sweep=sweep, spec=self.spec, worker=self.worker, job=job, planned=sorted(self.planned), stopped=self.stopped,
            first=first, groups={number: line.get("group") for number, line in self.planned.items()},
        )  # fmt: skip

    def all(self) -> int:
        """The exit code, after every trial that this worker can claim."""
        self._tell_of_others()
        code: int = Exit.OK
        for number in self.taker.trials():
            key = self._group_of(number)
            code = self._train(number) if key is None else GroupCarrier(self, number, key).carry()
            if code in _CUT or self.stopped.signal:
                return code
        return code

    def _group_of(self, number: int) -> str | None:
        """What a trial has in common with those with which it can train; None for one that runs alone."""
        together = self.spec.get("together")
        if together is None or together["trials"] < 2:
            return None
        return self.planned[number].get("group") if number in self.planned else together["key"]

    def _train(self, number: int) -> int:
        """The exit code of the supervisor of one trial."""
        began = now()
        if (why := self.taker.too_late(number)) is not None:
            self.end(number, ended_before(CANCELLED, why, began))
            return Exit.OK
        try:
            typed, trial = self.values(number)
            run = write_trial(self.sweep, self.spec, number, typed, self.planned.get(number))
        except LauncherError as error:
            say(f"trial {number}: {error}")
            self.end(number, ended_before(FAILED, str(error), began))
            return error.exit_code
        values = claims.read_claim(self.sweep, number) or {}
        shown = values.get("values") or self.planned[number]["values"]
        say(f"trial {number}: {' '.join(f'{key}={value}' for key, value in shown.items())}")
        should_prune = partial(self.study.should_prune, trial) if self.study else None
        code = carry(run, self.spec["objective"], self.stopped, self.must_end, should_prune)
        if code in _CUT:
            return code
        outcome = settle(self.sweep, number, self.spec["objective"])
        if outcome is None:
            reason = (
                f"the supervisor of the trial ended with exit code {code} and gave no reason; see {run.logs}"
            )
            outcome = ended_before(FAILED, reason, began)
        self.end(number, outcome)
        return Exit.OK if code == Exit.PRUNED else code

    def values(self, number: int) -> tuple[list[str], Any]:
        """The overrides of the trial, and the study's trial if there is a study."""
        if number in self.planned:
            line = self.planned[number]
            trial = self.study.enrol(number, line["values"]) if self.study else None
            return line["typed"], trial
        assert self.study is not None
        params = (claims.read_claim(self.sweep, number) or {}).get("params")
        if params is None:
            params = self.study.ask(number)
            values = {key: as_typed(value) for key, value in params.items()}
            claims.note(self.sweep, number, params=params, values=values)
        typed = [f"{self.spec['space'][key]['key']}={as_typed(value)}" for key, value in params.items()]
        return [*self.spec["fixed"], *typed], self.study.enrol(number, params)

    def must_end(self) -> bool:
        """Whether the sweep was cancelled. For tasks of its array this is false, because the cluster cancels them."""
        return not self.worker.task and self.sweep.stop.exists()

    def end(self, number: int, outcome: Mapping[str, Any]) -> None:
        """Writes the outcome, tells the study, and ends the sweep if a failure must end it (sweep.fail_fast)."""
        keep(self.sweep, number, outcome)
        if self.study:
            self.study.tell(number, outcome)
        value = "" if outcome["value"] is None else f", {self.spec['objective']} {outcome['value']:.6g}"
        why = f": {outcome['error']}" if outcome["error"] else ""
        say(f"trial {number} {outcome['state']}{value}{why}")
        if outcome["state"] == FAILED and self.spec["fail_fast"] and not self.sweep.stop.exists():
            write_text(self.sweep.stop, json.dumps({"time": now(), "why": f"trial {number} failed"}) + "\n")
            if self.worker.task:
                for array in self.sweep.as_run.read_json(self.sweep.jobs)["arrays"]:
                    job_cluster(self.spec["cluster"]).cancel(array["job_id"])

    def _tell_of_others(self) -> None:
        """Tells the study the outcomes of trials whose worker could not, because they continued in other jobs."""
        if self.study is None:
            return
        for number, found in claims.read_claims(self.sweep).items():
            if found["worker"] and (outcome := settle(self.sweep, number, self.spec["objective"])):
                self.study.tell(number, outcome)

    def _seed(self) -> int:
        """A seed that differs for each worker and each of its starts."""
        who = self.worker.task or self.worker.pid
        return zlib.crc32(f"{self.spec['seed']} {who} {len(claims.read_claims(self.sweep))}".encode())
