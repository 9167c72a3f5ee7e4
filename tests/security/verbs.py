"""A fuzz of every verb on run dirs and sweeps with a broken file: python -m tests.security.verbs --calls 10000 --seed 7

A round breaks one file of a run or a sweep and calls some verbs. What counts is a traceback, a call without an end, an escape
that reaches the terminal, a word of a file that reaches a program of Slurm, and a file called `planted`.
"""

import argparse
import os
import random
import resource
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.security.broken import (
    FILES,
    FINISHED_FILES,
    KEPT_FILES,
    SWEEP_FILES,
    damage,
    fill,
    finish,
    insure,
    plan_run,
    plan_sweep,
    restore,
)  # fmt: skip
from tests.security.calls import call, programs

LIMIT_S = 60
_MOST_MEMORY = 8 << 30


@dataclass
class Result:
    """What the calls have shown."""

    calls: int = 0
    refused: int = 0
    faults: dict[str, str] = field(default_factory=dict[str, str])
    """The kind and place of a fault -> the first call that has shown it."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A run dir or a sweep."""

    path: Path
    whole: Path
    """An untouched copy."""
    files: Sequence[str]
    """Those that are broken, by their path in it."""
    verbs: Sequence[list[str]]
    at_once: int
    """How many of the verbs are called on one broken file."""
    share: float
    """Of the rounds."""


def prepare(base: Path) -> list[Subject]:
    """A run that has stopped, one that has finished, one whose code was kept, and a sweep, all below base/runs."""
    stopped = insure(fill(plan_run(base, "name=stopped")))
    finished = finish(insure(fill(plan_run(base, "name=finished"))))
    kept, sweep = fill(plan_run(base, "name=kept", "freeze=true")), plan_sweep(base / "runs")
    found = (
        (stopped.path, FILES, verbs_of_run(str(stopped.path), base), 4, 0.65),
        (finished.path, FINISHED_FILES, verbs_of_finished(str(finished.path), base), 3, 0.13),
        (kept.path, KEPT_FILES, [["reproduce", str(kept.path), "dry_run=true", "--json"]], 1, 0.02),
        (sweep, SWEEP_FILES, verbs_of_sweep(str(sweep), base), 3, 0.2),
    )
    subjects: list[Subject] = []
    for path, files, verbs, at_once, share in found:
        whole = base / "whole" / path.parent.name
        shutil.copytree(path, whole)
        subjects.append(
            Subject(path=path, whole=whole, files=files, verbs=verbs, at_once=at_once, share=share)
        )
    return subjects


def fuzz_verbs(base: Path, calls: int, seed: int) -> Result:
    """Calls at least that many verbs; `base` is an empty folder."""
    subjects = prepare(base)
    dice, result = random.Random(seed), Result()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (_MOST_MEMORY, limits[1])
    )  # a file without an end ends in MemoryError
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        with programs(base / "bin") as said:
            while result.calls < calls:
                (one,) = dice.choices(subjects, [subject.share for subject in subjects])
                restore(one.whole, one.path)
                how = damage(one.path, dice.choice(one.files), dice)
                for words in dice.sample(one.verbs, one.at_once):
                    _call(words, how, result)
                for new in {base / "new", *one.path.parent.iterdir()} - {one.path}:
                    shutil.rmtree(new, ignore_errors=True)
                restore(one.whole, one.path)
            if "--me" in said.read_text().replace("squeue --me", ""):
                result.faults["a word of a file reaches a program"] = said.read_text()
        for planted in base.rglob("planted"):
            result.faults[f"{planted} was written"] = ""
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        os.environ.pop("HF_HUB_OFFLINE")
        if before is not None:
            os.environ["HF_HUB_OFFLINE"] = before
    return result


def _call(words: list[str], how: str, result: Result) -> None:
    with tempfile.TemporaryFile() as errors:
        keep = os.dup(2)
        os.dup2(errors.fileno(), 2)  # of the programs that a verb starts
        try:
            called = call(words, LIMIT_S)
        finally:
            os.dup2(keep, 2)
            os.close(keep)
        errors.seek(0)
        others = errors.read().decode(errors="replace")
    result.calls += 1
    result.refused += bool(called.code)
    example = f"{how}: {' '.join(words)}"
    if "Traceback (most recent call last)" in others:
        *_, place, said = [
            line for line in others.splitlines() if "/launcher/" in line
        ] + others.splitlines()[-1:]
        result.faults.setdefault(f"a program of {words[0]}, {place.strip()}", f"{said}; {example}")
    if called.fault:
        place, _, said = called.fault.partition(": ")
        result.faults.setdefault(place, f"{said}; {example}")
    if "\x1b" in called.out + called.err:
        result.faults.setdefault(f"an escape reaches the terminal by {words[0]}", example)


def verbs_of_run(run: str, base: Path) -> list[list[str]]:
    """The verbs that take a run that has stopped."""
    page = ["--out", str(base / "page.html"), "--force"]
    launch = ["+experiment=tiny", "cluster=local", "dry_run=true", "freeze=false", f"runs_dir={base / 'new'}"]
    return [
        ["status", run],
        ["status", run, "--json"],
        ["report", run, *page],
        ["list", "--runs-dir", str(base / "runs")],
        ["logs", run],
        ["checkpoints", run],
        ["cancel", run],
        ["calibrate", run],
        ["export", run],
        ["resume", run, "dry_run=true"],
        ["resume", run, "dry_run=true", "resources.gpus_per_node=2"],
        ["reproduce", run, "dry_run=true"],
        ["sync", run],
        ["stale", run],
        ["push", run, "--to", "a/b"],
        ["evaluate", run, "--data", "nothing.jsonl"],
        ["remove", run, "--yes"],
        ["fetch", run],
        ["classify", run, "--text", "a"],
        ["chat", run, "--prompt", "a"],
        [*launch, f"resume={run}", "trust_checkpoint=true"],
    ]


def verbs_of_finished(run: str, base: Path) -> list[list[str]]:
    """The verbs that take a run that has finished."""
    page = ["--out", str(base / "page.html"), "--force"]
    return [
        ["status", run],
        ["report", run, *page],
        ["list", "--runs-dir", str(base / "runs")],
        ["checkpoints", run, "--prune"],
        ["calibrate", run],
        ["resume", run, "dry_run=true"],
        ["sync", run],
        ["stale", run],
        ["push", run, "--to", "a/b"],
        ["remove", run, "--yes"],
        ["follow", run],
    ]


def verbs_of_sweep(sweep: str, base: Path) -> list[list[str]]:
    """The verbs that take a sweep."""
    return [
        ["sweep", "status", sweep],
        ["sweep", "status", sweep, "--json"],
        ["report", sweep, "--out", str(base / "page.html"), "--force"],
        ["sweep", "best", sweep],
        ["sweep", "cancel", sweep],
        ["list", "--runs-dir", str(base / "runs")],
        ["sweep", "resume", sweep],
        ["sweep", "extend", sweep, "seed=7,8"],
        ["remove", sweep, "--yes"],
        ["status", f"{sweep}/5"],
    ]


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 if every call ended as it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.security.verbs", description=__doc__)
    parser.add_argument(
        "--calls", type=int, default=10_000, metavar="N", help="calls in all (default: 10000)"
    )
    parser.add_argument(
        "--seed", type=int, default=23, metavar="N", help="the same calls for the same number"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="verbs-") as name:
        result = fuzz_verbs(Path(name), options.calls, options.seed)
    for place, example in result.faults.items():
        print(f"{place}\n    {example}")
    print(f"{result.calls:,} calls, {result.refused:,} refused, {len(result.faults)} kinds of faults")
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
