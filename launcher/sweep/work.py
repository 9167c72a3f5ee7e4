"""A worker claims trials of a sweep and runs each to its end. The tasks of a sweep's array are such workers.

A worker has one trial at a time. It writes the run dir of the trial, starts its supervisor, passes its reports to the study,
and prunes it if the study says so. A task that is queued again resumes the trial that it had.
"""

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from launcher.clusters.base import RunState
from launcher.clusters.choose import job_cluster
from launcher.clusters.registry import find_cluster
from launcher.errors import ClusterError, Exit, LauncherError
from launcher.processes import die_with_parent, exit_code, start_ticks
from launcher.run import RunDir, now, read_lines, write_text
from launcher.supervise.children import StopSignal
from launcher.sweep import claims
from launcher.sweep.claims import Claimant
from launcher.sweep.folder import SweepDir
from launcher.sweep.outcome import CANCELLED, FAILED, Reports, ended_before, keep, settle
from launcher.sweep.read import why_spent
from launcher.sweep.study import Study, as_typed
from launcher.sweep.trial import write_trial

_POLL_S = 0.1
_LOOK_S = 0.5
_CUT = (Exit.REQUEUED, Exit.ALREADY_RUNNING)
"""Exit codes of a supervisor after which the trial continues in another job."""


class Work:
    """One worker."""

    def __init__(self, sweep: SweepDir, first: int) -> None:
        self.sweep, self.first = sweep, first
        self.stopped = StopSignal()
        self.spec = sweep.read_spec()
        # without a queue, several workers may run inside one array task, which then does not belong to the sweep
        cluster = find_cluster(self.spec["cluster"])
        self.is_gone = partial(is_gone, cluster.name)
        self.job = cluster.job(os.environ) if cluster.queued else None
        self.worker = Claimant.here(self.job)
        os.chdir(self.spec["work_dir"])
        sys.path.insert(0, self.spec["work_dir"])
        self.planned = {
            int(line["number"]): line
            for line in read_lines(sweep.trials)
            if int(line["number"]) < self.spec["trials"]
        }
        searches = self.spec["sampler"] != "grid" or self.spec["pruner"] != "none"
        self.study = Study(sweep, self.spec, self._seed()) if searches else None

    def all(self) -> int:
        """The exit code, after every trial that this worker can claim."""
        self._tell_of_others()
        code: int = Exit.OK
        for number in self._numbers():
            code = self._train(number)
            if code in _CUT or self.stopped.signal:
                return code
        return code

    def _numbers(self) -> Iterator[int]:
        """The trials that this worker has claimed, one after the other."""
        mine = claims.own(self.sweep, self.worker)
        if mine is not None:
            yield mine
        if self.spec["sampler"] == "grid":
            index = self.job.index if self.job else None
            mine_alone = [self.first + index] if index is not None else sorted(self.planned)
            for number in mine_alone:
                if self._may_begin(number) and claims.claim(self.sweep, number, self.worker, self.is_gone):
                    yield number
            return
        number = 0
        while self._is_over(number) or self._begins(number):
            taken = self._may_begin(number) and claims.claim(self.sweep, number, self.worker, self.is_gone)
            if taken:
                yield number
            number = 0 if taken else number + 1  # `sweep resume` may have reopened an earlier trial meanwhile

    def _may_begin(self, number: int) -> bool:
        return not self._is_over(number) and not self.sweep.stop.exists() and not self.stopped.signal

    def _is_over(self, number: int) -> bool:
        return (self.sweep.outcomes / f"{number}.json").exists()

    def _begins(self, number: int) -> bool:
        """Whether the budget allows the sampler's trial of that number to begin, or to begin again."""
        if self.sweep.stop.exists() or self.stopped.signal:
            return False
        if claims.read_claim(self.sweep, number) is not None:
            return True
        why = why_spent(self.sweep)
        if why:
            _say(why)
        return why is None

    def _too_late(self, number: int) -> str | None:
        """The reason why a trial of a grid may no longer begin; None if it may, or if it has begun before.

        A worker of a sampler checks the budget before it claims a trial.
        """
        if self.spec["sampler"] != "grid" or self.sweep.trial(number).path.is_dir():
            return None
        why = why_spent(self.sweep)
        return why and f"{why}; python -m launcher sweep extend {self.sweep.name} raises it"

    def _train(self, number: int) -> int:
        """The exit code of the supervisor of one trial."""
        began = now()
        if (why := self._too_late(number)) is not None:
            self._end(number, ended_before(CANCELLED, why, began))
            return Exit.OK
        try:
            typed, trial = self._values(number)
            run = write_trial(self.sweep, self.spec, number, typed, self.planned.get(number))
        except LauncherError as error:
            _say(f"trial {number}: {error}")
            self._end(number, ended_before(FAILED, str(error), began))
            return error.exit_code
        values = claims.read_claim(self.sweep, number) or {}
        shown = values.get("values") or self.planned[number]["values"]
        _say(f"trial {number}: {' '.join(f'{key}={value}' for key, value in shown.items())}")
        code = self._supervise(run, trial)
        if code in _CUT:
            return code
        outcome = settle(self.sweep, number, self.spec["objective"])
        if outcome is None:
            reason = f"its supervisor ended with exit code {code} and gave no reason; see {run.logs}"
            outcome = ended_before(FAILED, reason, began)
        self._end(number, outcome)
        return Exit.OK if code == Exit.PRUNED else code

    def _values(self, number: int) -> tuple[list[str], Any]:
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

    def _supervise(self, run: RunDir, trial: Any) -> int:
        """The exit code of the trial's job script, which becomes its supervisor. Signals are passed on to it."""
        run.logs.mkdir(exist_ok=True)
        with (run.logs / "supervisor.log").open("ab") as log:
            child = subprocess.Popen(
                ["bash", str(run.job_script)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        passed, looked, reported = 0, 0.0, Reports(run, self.spec["objective"])
        steps = -1
        pruned = False
        while child.poll() is None:
            wanted = int(self.stopped.signal is not None or self._must_end()) + int(self.stopped.again)
            if wanted > passed:
                passed = wanted
                child.send_signal(self.stopped.signal or signal.SIGTERM)
            if self.study and not pruned and time.monotonic() - looked > _LOOK_S:
                looked = time.monotonic()
                found = reported.read()
                if len(found) != steps:
                    steps = len(found)
                    pruned = self.study.should_prune(trial, found)
                    if pruned:
                        child.send_signal(signal.SIGUSR2)
            time.sleep(_POLL_S)
        return exit_code(child.returncode)

    def _must_end(self) -> bool:
        """Whether the sweep was cancelled. Tasks of its array are cancelled by the cluster instead."""
        return not self.worker.task and self.sweep.stop.exists()

    def _end(self, number: int, outcome: Mapping[str, Any]) -> None:
        """Writes the outcome, tells the study, and ends the sweep if a failure must end it (sweep.fail_fast)."""
        keep(self.sweep, number, outcome)
        if self.study:
            self.study.tell(number, outcome)
        value = "" if outcome["value"] is None else f", {self.spec['objective']} {outcome['value']:.6g}"
        why = f": {outcome['error']}" if outcome["error"] else ""
        _say(f"trial {number} {outcome['state']}{value}{why}")
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


def is_gone(kind: str, holder: Mapping[str, Any]) -> bool:
    """Whether it is certain that the worker has ended; `kind` is the cluster of the sweep."""
    if holder["task"]:
        try:
            state = job_cluster(kind).state(str(holder["task"]))
        except ClusterError:
            return False
        return state not in (None, RunState.RUNNING, RunState.PENDING)
    here = holder["host"] == os.uname().nodename
    return here and start_ticks(int(holder["pid"])) != holder["started"]


def _say(text: str) -> None:
    print(f"launcher: {text}", file=sys.stderr, flush=True)
