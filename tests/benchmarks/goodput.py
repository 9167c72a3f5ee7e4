"""Effective training time under faults on a real Slurm cluster: ours, and what people use today.

    python -m tests.benchmarks.goodput --seeds 0,1,2 --minutes 10 --arms ours,requeue,submitit,torchrun --results DIR
    python -m tests.benchmarks.goodput --results DIR --seeds 0 --arms ours     # a piece; what DIR has already is not run again
    python -m tests.benchmarks.goodput --results DIR --report                  # the tables of all pieces

Four nodes, two of which train a tiny model in steps of 0.1 s and more. One fault a minute from a seeded schedule
(tests/benchmarks/goodput_faults.py), at the same moments, of the same kinds and on the same ranks for every arm; the arms
and their settings are in tests/benchmarks/goodput_arms.py. Effective training time is committed steps x the time of an
undisturbed step (the shortest median of all arms) / wall time, from an arm's first step on. The ceiling is Daly's formula
at an arm's own measured cost of a step, a save and a restart. Bars: ours above every peer on every seed, and at least 0.95
of its ceiling. An arm that a fault ends permanently keeps what it had committed.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from launcher.run import read_lines, write_text
from tests.benchmarks.goodput_account import (
    PHASES,
    account,
    ceiling,
    effective,
    first_step,
    phase_means,
    restart_s,
)
from tests.benchmarks.goodput_arms import ARMS, ROOT, Arm
from tests.benchmarks.goodput_faults import Injector, make_schedule
from tests.support.lab import Lab

BAR = 0.95
_FIRST_STEP_S = 240.0
_POLL_S = 0.5


def main() -> int:
    """0 where every bar is met."""
    options = parse()
    os.environ["PYTHONPATH"] = str(ROOT)  # the ranks import this package
    for seed in [] if options.report else options.seeds:
        for name in options.arms:
            path = options.results / f"{name}_{seed}.json"
            if path.exists():
                print(f"{path} is there already", file=sys.stderr, flush=True)
                continue
            found = {"arm": name, "seed": seed, **measure(name, seed, options.minutes, options.keep)}
            write_text(path, json.dumps(found, indent=1) + "\n")
    results = read_results(options.results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if not results:
        print(f"MISSED: {options.results} holds no result, so nothing is shown")
        return 1
    return report(results)


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Every piece that was measured there; SystemExit where they are not of one length, which cannot be compared."""
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("*_*.json"))]
    lengths = sorted({one["seconds"] for one in results})
    if len(lengths) > 1:
        said = ", ".join(f"{length:g} s" for length in lengths)
        raise SystemExit(f"MISSED: {folder} holds results of {said}, which cannot stand in one table")
    return results


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.goodput")
    parser.add_argument(
        "--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2]
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of every arm, from its first step on")
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(ARMS), help=",".join(ARMS))
    parser.add_argument("--json", type=Path, help="write the figures of all arms here")
    parser.add_argument(
        "--results", type=Path, default=Path("goodput_results"), help="a file for each arm and seed; kept, and gone on with"
    )  # fmt: skip
    parser.add_argument("--report", action="store_true", help="run nothing, report on --results")
    parser.add_argument("--keep", type=Path, help="keep the arms' folders here")
    options = parser.parse_args()
    if wrong := set(options.arms) - set(ARMS):
        parser.error(f"--arms: {', '.join(sorted(wrong))} is not one of {', '.join(ARMS)}")
    options.results.mkdir(parents=True, exist_ok=True)
    return options


def measure(name: str, seed: int, minutes: float, keep: Path | None) -> dict[str, Any]:
    """One arm under one schedule, on a cluster of its own."""
    folder = (
        Path("/tmp") / f"goodput-{os.getpid()}-{name}-{seed}"
    )  # munge wants every folder above its own to be safe
    (folder / "work").mkdir(parents=True)
    lab = Lab(folder / "lab")
    lab.folder.mkdir()
    lab("up", "4")
    try:
        return carry(ARMS[name](lab, folder / "work", minutes), seed, minutes)
    finally:
        lab("down")
        if keep:
            shutil.copytree(folder / "work", keep / f"{name}-{seed}", dirs_exist_ok=True, symlinks=True)
        shutil.rmtree(folder, ignore_errors=True)


def carry(arm: Arm, seed: int, minutes: float) -> dict[str, Any]:
    """Submits it, does the faults, and counts."""
    arm.submit()
    deadline = time.monotonic() + _FIRST_STEP_S
    while not any(line["what"] == "step" for line in read_lines(arm.journal)):
        assert time.monotonic() < deadline, (
            f"{arm.name}: no step within {_FIRST_STEP_S:g} s; see {arm.folder}"
        )
        time.sleep(0.1)
    begun = first_step(list(read_lines(arm.journal)))
    injector = Injector(arm.lab, arm.folder, arm.journal)
    schedule = make_schedule(seed, minutes * 60)
    while (passed := time.time() - begun) < minutes * 60:
        while schedule and schedule[0].at_s <= passed:
            fault = schedule.pop(0)
            injector.inject(fault, arm.job())
            said = "" if injector.done[-1]["hit"] else ": nothing to hit"
            print(
                f"{arm.name} {passed:6.1f} s: {fault.kind.value} {fault.rank}{said}",
                file=sys.stderr,
                flush=True,
            )
        injector.go_on()
        if arm.resubmits and arm.job() is None:
            arm.submit()
        due = schedule[0].at_s - (time.time() - begun) if schedule else _POLL_S
        time.sleep(min(max(due, 0.0), _POLL_S))
    arm.cancel()
    journal = list(read_lines(arm.journal))
    return account(journal, arm.committed(), arm.ends(), injector.done, minutes * 60)


def report(results: list[dict[str, Any]]) -> int:
    """The tables and the verdict."""
    step_s = min(one["step_s"] for one in results)
    table = Table(
        "seed", "arm", "effective", "ceiling", "of it", "committed", "steps lost", "restarts", "faults hit", "a step, s",
        "a save, s", "down, s", "last step at",
        title=f"an undisturbed step takes {step_s:.4f} s",
    )  # fmt: skip
    for one in sorted(results, key=lambda one: (one["seed"], list(ARMS).index(one["arm"]))):
        share, best = effective(one, step_s), ceiling(one, step_s)
        table.add_row(
            str(one["seed"]), one["arm"], f"{share:.3f}", f"{best:.3f}", f"{share / best:.3f}" if best else "-",
            f"{one['committed']:,}", f"{one['taken'] - one['new']:,}", str(one["restarts"]), f"{one['hits']}/{one['faults']}",
            f"{one['step_s']:.4f}", f"{one['save_s']:.3f}", f"{restart_s(one):.1f}", f"{one['last_step_s']:.0f} s",
        )  # fmt: skip
    phases = Table(
        "arm", "outages", *PHASES, "all", title="mean seconds from a fault to the next step of new ranks"
    )
    kinds: dict[str, dict[str, list[float]]] = {}
    for name in dict.fromkeys(one["arm"] for one in results):
        own = [one for one in results if one["arm"] == name]
        means = phase_means(own)
        outages = [outage for one in own for outage in one["outages"]]
        phases.add_row(
            name,
            str(len(outages)),
            *(f"{means[phase]:.2f}" for phase in PHASES),
            f"{sum(means.values()):.2f}",
        )
        for outage in outages:
            kinds.setdefault(outage["kind"], {}).setdefault(name, []).append(outage["total"])
    names = list(dict.fromkeys(one["arm"] for one in results))
    by_kind = Table("fault", *names, title="mean seconds by kind of fault")
    for kind, found in sorted(kinds.items()):
        by_kind.add_row(
            kind, *(f"{statistics.mean(found[name]):.1f}" if name in found else "-" for name in names)
        )
    console = Console(width=150)
    for one in (table, phases, by_kind):
        console.print(one)
    return verdict(results, step_s)


def verdict(results: list[dict[str, Any]], step_s: float) -> int:
    """One line, and the exit code: 1 as well where an arm is missing, for then nothing is shown."""
    said, met, whole = [], True, True
    for seed in sorted({one["seed"] for one in results}):
        shares = {one["arm"]: effective(one, step_s) for one in results if one["seed"] == seed}
        whole = whole and set(shares) == set(ARMS)
        own = next((one for one in results if (one["seed"], one["arm"]) == (seed, "ours")), None)
        of_ceiling = shares["ours"] / max(ceiling(own, step_s), 1e-9) if own else math.nan
        peers = [share for arm, share in shares.items() if arm != "ours"]
        if own:
            met = met and of_ceiling >= BAR and all(shares["ours"] > share for share in peers)
        listed = ", ".join(f"{arm} {share:.3f}" for arm, share in shares.items())
        said.append(f"seed {seed}: {listed}; ours at {of_ceiling:.3f} of its ceiling")
    word = "MISSED" if not met else "met" if whole else "incomplete, and nothing missed so far"
    print(f"{word}: {'; '.join(said)} (bars: above every peer, {BAR})")
    return 0 if met and whole else 1


if __name__ == "__main__":
    sys.exit(main())
