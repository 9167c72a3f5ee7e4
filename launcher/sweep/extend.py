"""Extending a sweep by more values of its grid, or by more budget."""

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from launcher.clusters.registry import find_cluster
from launcher.errors import ConfigError, unknown
from launcher.launching.compose import MultirunRequest, compose
from launcher.launching.freeze.freeze import with_code
from launcher.plan.queue import with_notice_of_group
from launcher.plugins.decide import facts_from
from launcher.run import write_text
from launcher.run.code import read_code
from launcher.sweep.array import check_starts, described, queue_of, queued_jobs, script, submit, written
from launcher.sweep.derive import Deriver
from launcher.sweep.expand import grid, read_axes
from launcher.sweep.folder import SweepDir, read_planned
from launcher.sweep.outcome import CANCELLED, WAITING
from launcher.sweep.plan_trials import Planner, plan_trials, swept
from launcher.sweep.read import read_sweep
from launcher.sweep.result import Extended, SweepResult, Tell
from launcher.sweep.resume_sweep import reopen, start_again
from launcher.sweep.settings import check_deadline
from launcher.sweep.together.plan_groups import Member
from launcher.sweep.trials import facts_line, make_arrays, with_longest_notice

BUDGET = {"sweep.trials": int, "sweep.gpu_hours": float, "sweep.deadline": str}


def extend_sweep(sweep: SweepDir, more: Sequence[str], tell: Tell) -> SweepResult:
    """The result, with the added trials; ConfigError for a key that cannot be extended."""
    spec = sweep.read_spec()
    check_starts(sweep, spec)
    _check_keys(sweep, spec, more)
    os.chdir(spec["work_dir"])
    sys.path.insert(0, spec["work_dir"])
    if more[0].partition("=")[0] in BUDGET:
        return _more_budget(sweep, spec, more, tell)
    requests: list[MultirunRequest] = []
    site = ["--config-dir", spec["config_dir"]] if spec["config_dir"] else []
    found: list[int] = []

    def take(one: MultirunRequest) -> None:
        requests.append(one)
        found.append(_more_trials(sweep, spec, one, more))

    compose([*site, "-m", *spec["hydra"], *spec["fixed"]], take_sweep=take)
    sweep.stop.unlink(missing_ok=True)
    cluster = queue_of(spec)
    job_ids = submit(sweep, cluster) if cluster else []
    result = Extended(sweep=sweep, trials=found[0], job_ids=job_ids, here=cluster is None)
    tell(result)
    return result


def _check_keys(sweep: SweepDir, spec: dict[str, Any], more: Sequence[str]) -> None:
    """ConfigError for a key that cannot be extended."""
    known = list(BUDGET)
    if spec["sampler"] == "grid":
        known = [*spec["space"], "sweep.gpu_hours", "sweep.deadline"]
    for override in more:
        key, equals, value = override.lstrip("+").partition("=")
        if not equals or not value:
            raise ConfigError(f"{override} has no value; write {key}=VALUE")
        if key not in known:
            raise ConfigError(f"{unknown(f'key of {sweep.name} to extend', key, known)}")
    budgets = [override for override in more if override.partition("=")[0] in BUDGET]
    if 0 < len(budgets) < len(more):
        raise ConfigError(
            f"{budgets[0]} is a budget, not a value of the grid; raise it in a separate command"
        )


def _more_budget(sweep: SweepDir, spec: dict[str, Any], more: Sequence[str], tell: Tell) -> SweepResult:
    for override in more:
        key, _, value = override.partition("=")
        try:
            spec["budget"][key.partition(".")[2]] = None if value == "null" else BUDGET[key](value)
        except ValueError:
            raise ConfigError(f"{override} must be a number") from None
    check_deadline(spec["budget"]["deadline"])
    with written(sweep, spec):
        pass
    sweep.stop.unlink(missing_ok=True)
    cluster = queue_of(spec)
    alive = bool(queued_jobs(sweep, cluster)) if cluster else False
    late: list[int] = []
    if spec["sampler"] == "grid":
        trials = read_sweep(sweep.path).trials
        late = [trial.number for trial in trials if trial.state == CANCELLED and trial.run_dir is None]
        reopen(sweep, late)
    return start_again(sweep, spec, late, cluster, tell, alive=alive)


def _more_trials(
    sweep: SweepDir, spec: dict[str, Any], requests: MultirunRequest, more: Sequence[str]
) -> int:
    """The number of new trials, after their lines, their scripts and finally sweep.json are written."""
    parser = OverridesParser.create(config_loader=requests.loader)
    added = {
        axis.name: [value.text for value in axis.values]
        for axis in read_axes(parser.parse_overrides(list(more)))
    }
    lines = [line for line in read_planned(sweep) if line["number"] < spec["trials"]]
    choices = {name: one["choices"] for name, one in spec["space"].items()}
    for name, texts in added.items():
        choices[name] = list(dict.fromkeys([*choices[name], *texts]))
    swept_lines = [
        f"{spec['space'][name]['key']}={','.join(texts) if len(texts) > 1 else f'choice({texts[0]})'}"
        for name, texts in choices.items()
    ]
    axes = read_axes(parser.parse_overrides([*spec["fixed"], *swept_lines]))
    before = [line["values"] for line in lines]
    trials = [values for values in grid(axes) if swept(axes, values) not in before]
    if not trials:
        # the same command may have been interrupted before it queued its trials
        if not read_sweep(sweep.path).count(WAITING):
            raise ConfigError(
                f"{' '.join(more)} adds no trial: {sweep.name} has every combination with these values already; "
                "give a new value"
            )
        return 0
    planner = Planner(sweep.path, [facts_from({**facts, "run_dir": ""}) for facts in spec["facts"]])
    together, members = spec.get("together"), list[Member]()
    planned, plan = plan_trials(
        Deriver(requests, axes), trials, planner, len(lines), members if together else None
    )
    if together and together["trials"] > 1:
        keys = {one.number: one.fit.key for one in members}
        planned = [dataclasses.replace(one, group=keys[one.number]) for one in planned]
        plan = with_notice_of_group(members[0].config, plan, int(together["trials"]))
    cluster = find_cluster(str(spec["cluster"]))
    largest = cluster.largest_array(plan.job_options.get("clusters", "")) if cluster.queued else 1 << 30
    arrays = make_arrays(
        [(trial.number, trial.shape) for trial in with_longest_notice(planned, plan)],
        largest,
        spec["parallel"],
        len(spec["arrays"]),
    )
    plan = with_code(plan, read_code(sweep.as_run.code))
    for array in arrays:
        write_text(sweep.path / array.script, script(sweep, array, plan, "Trials that `sweep extend` added."))
    kept = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_text(sweep.trials, kept + "".join(trial.line() for trial in planned))
    spec["facts"] = [facts_line(facts) for facts in planner.facts]
    spec["arrays"] += [described(array) for array in arrays]
    spec["trials"] = len(lines) + len(planned)
    for name, texts in choices.items():
        spec["space"][name]["choices"] = texts
    with written(SweepDir(Path(sweep.path)), spec):
        pass
    return len(planned)
