"""A worker takes trials of a sweep and carries each to its end. The tasks of a sweep's array are such workers.

A worker has one trial at a time: it writes the trial's run dir, carries the trial, keeps its outcome and tells the study. A
task that is queued again goes on with the trial that it had.
"""

import json
import os
import sys
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from launcher.clusters.choose import job_cluster
from launcher.clusters.registry import find_cluster
from launcher.errors import Exit, LauncherError
from launcher.output import say
from launcher.run import now, read_lines, write_text
from launcher.supervise.children import StopSignal
from launcher.sweep import claims
from launcher.sweep.carry import carry
from launcher.sweep.folder import SweepDir
from launcher.sweep.outcome import CANCELLED, FAILED, ended_before, keep, settle
from launcher.sweep.study import Study, as_typed
from launcher.sweep.take import Taker
from launcher.sweep.trial import write_trial
from launcher.sweep.worker import Worker

_CUT = (Exit.REQUEUED, Exit.ALREADY_RUNNING)
"""Ends of a supervisor after which the trial goes on elsewhere."""


class Work:
    """One worker."""

    def __init__(self, sweep: SweepDir, first: int) -> None:
        self.sweep = sweep
        self.stopped = StopSignal()
        self.spec = sweep.read_spec()
        # on one machine or in one allocation several workers may be in one array task, which is not the sweep's own
        cluster = find_cluster(self.spec["cluster"])
        job = cluster.job(os.environ) if cluster.queued else None
        self.worker = Worker.here(job)
        os.chdir(self.spec["work_dir"])
        sys.path.insert(0, self.spec["work_dir"])
        self.planned = {
            int(line["number"]): line
            for line in read_lines(sweep.trials)
            if int(line["number"]) < self.spec["trials"]
        }
        searches = self.spec["sampler"] != "grid" or self.spec["pruner"] != "none"
        self.study = Study(sweep, self.spec, self._seed()) if searches else None
        self.taker = Taker(
            sweep=sweep, spec=self.spec, worker=self.worker, job=job, planned=sorted(self.planned), stopped=self.stopped,
            first=first,
        )  # fmt: skip

    def all(self) -> int:
        """The exit code, after every trial that this worker can have."""
        self._tell_of_others()
        code: int = Exit.OK
        for number in self.taker.trials():
            code = self._train(number)
            if code in _CUT or self.stopped.signal:
                return code
        return code

    def _train(self, number: int) -> int:
        """The exit code of one trial's supervisor."""
        began = now()
        if (why := self.taker.too_late(number)) is not None:
            self._end(number, ended_before(CANCELLED, why, began))
            return Exit.OK
        try:
            typed, trial = self._values(number)
            run = write_trial(self.sweep, self.spec, number, typed, self.planned.get(number))
        except LauncherError as error:
            say(f"trial {number}: {error}")
            self._end(number, ended_before(FAILED, str(error), began))
            return error.exit_code
        values = claims.read_claim(self.sweep, number) or {}
        shown = values.get("values") or self.planned[number]["values"]
        say(f"trial {number}: {' '.join(f'{key}={value}' for key, value in shown.items())}")
        should_prune = partial(self.study.should_prune, trial) if self.study else None
        code = carry(run, self.spec["objective"], self.stopped, self._must_end, should_prune)
        if code in _CUT:
            return code
        outcome = settle(self.sweep, number, self.spec["objective"])
        if outcome is None:
            reason = f"its supervisor ended with exit code {code} and left no word; see {run.logs}"
            outcome = ended_before(FAILED, reason, began)
        self._end(number, outcome)
        return Exit.OK if code == Exit.PRUNED else code

    def _values(self, number: int) -> tuple[list[str], Any]:
        """What the trial is typed as, and the study's trial where there is a study."""
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

    def _must_end(self) -> bool:
        """Whether the sweep was ended. Only the tasks of its array are told so by the cluster."""
        return not self.worker.task and self.sweep.stop.exists()

    def _end(self, number: int, outcome: Mapping[str, Any]) -> None:
        """Keeps the outcome, tells the study, and ends the sweep where it must fail fast."""
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
        """Outcomes of trials whose worker could not tell them, because they went on in jobs of their own."""
        if self.study is None:
            return
        for number, found in claims.read_claims(self.sweep).items():
            if found["worker"] and (outcome := settle(self.sweep, number, self.spec["objective"])):
                self.study.tell(number, outcome)

    def _seed(self) -> int:
        """Another one for each worker and each start of it."""
        who = self.worker.task or self.worker.pid
        return zlib.crc32(f"{self.spec['seed']} {who} {len(claims.read_claims(self.sweep))}".encode())
