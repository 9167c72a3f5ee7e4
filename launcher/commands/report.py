"""python -m launcher report RUN|SWEEP: everything about a run on one page that a browser shows without a network."""

import argparse
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import quote

from launcher import __version__
from launcher.cli.verb import Verb
from launcher.clusters.base import RunState
from launcher.config.kept_yaml import read_mapping, read_words
from launcher.data.kept_report import read_reports
from launcher.errors import Exit, RunError
from launcher.output import print_json, print_text, warn
from launcher.report.curves import is_number
from launcher.report.facts import RunFacts, at
from launcher.report.html import MARK, known_secrets, render_page
from launcher.report.page import Page
from launcher.report.run_page import make_run_page
from launcher.run import RunDir, find_run, now, write_text
from launcher.run.history import HistoryReader
from launcher.run.long_course import LongCourse
from launcher.status.spent import read_spent
from launcher.status.state import read_status
from launcher.sweep.folder import SweepDir, list_sweeps
from launcher.units import mebibytes

NAME = "report.html"
_SAMPLED = 2000
"""How many logged lines are drawn for a run whose metrics.jsonl is too long to be parsed as a whole."""
_BEGINNING = 4096
"""A report has its mark within this many characters from its beginning."""


class Written(TypedDict):
    """The HTML page about a run or a sweep."""

    report: str
    """Absolute path of the page."""
    bytes: int
    """Its size."""
    charts: int
    """How many charts it has."""


class _OfRun(TypedDict):
    run: str
    """name/date_time."""


class _OfSweep(TypedDict):
    sweep: str
    """name/sweep_date_time."""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run",
        nargs="?",
        metavar="RUN|SWEEP",
        help="a run dir or a sweep's folder, name/date_time, name/sweep_date_time, or a name; default: the newest",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"where to write it (default: {NAME} in its folder)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite a file that is not a report")


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    chosen = find_either(options.runs_dir.absolute(), options.run)
    out = options.out or chosen.path / NAME
    check_overwrite(out, force=options.force)
    page = make_run_page(read_facts(chosen)) if isinstance(chosen, RunDir) else sweep_page(chosen, out)
    write_page(out, page)
    if options.json:
        written: Written = {
            "report": str(out.absolute()),
            "bytes": out.stat().st_size,
            "charts": len(page.charts),
        }
        print_json({page.kind: page.name, **written})
    else:
        print_text(
            f"{out.absolute()}  ({mebibytes(out.stat().st_size)}; open it in any browser, or send it to someone)"
        )
    return Exit.OK


def find_either(runs_dir: Path, reference: str | None) -> RunDir | SweepDir:
    """The run or sweep that `reference` means. A name whose newest run is a sweep's trial means the sweep."""
    paths = [Path(reference), runs_dir / reference] if reference else []
    for path in paths:
        if (path / "sweep.json").is_file():
            return SweepDir(path.resolve())
    try:
        run = find_run(runs_dir, reference)
    except RunError:
        waiting = [
            sweep for sweep in list_sweeps(runs_dir) if not reference or sweep.path.parent.name == reference
        ]
        if not waiting:
            raise
        return SweepDir(waiting[-1].path.resolve())
    exact = any((path / "plan.json").is_file() for path in paths)
    if not exact and (run.path.parent / "sweep.json").is_file():
        return SweepDir(run.path.parent)
    return run


def sweep_page(sweep: SweepDir, out: Path) -> Page:
    """The page of a sweep, with links to its trials' run dirs as seen from the folder of `out`."""
    # imported here: these modules import numpy and Hydra, which the report of a run does not use
    from launcher.report.sweep_page import make_sweep_page
    from launcher.sweep.read import read_sweep

    read = read_sweep(sweep.path)
    here = out.absolute().parent
    links = {
        trial.number: f"./{quote(os.path.relpath(trial.run_dir, here))}/"
        for trial in read.trials
        if trial.run_dir is not None
    }
    return make_sweep_page(read, links=links, written=now(), version=__version__)


def check_overwrite(out: Path, *, force: bool) -> None:
    """Raises RunError if writing `out` would destroy anything except an earlier report."""
    if out.is_dir():
        raise RunError(f"--out={out} is a folder; name a file in it, such as --out={out / NAME}")
    if not out.parent.is_dir():
        raise RunError(
            f"--out={out}: the folder {out.parent} does not exist; create it, or name another file"
        )
    if out.exists() and not force:
        with out.open(encoding="utf-8", errors="replace") as file:
            if MARK not in file.read(_BEGINNING):
                raise RunError(
                    f"--out={out} exists and was not written by this command; name another file, or overwrite it with --force"
                )


def write_page(out: Path, page: Page) -> None:
    """Writes the page atomically."""
    try:
        html = render_page(page, known_secrets(os.environ))
        write_text(out, html.encode("utf-8", "backslashreplace").decode())  # a name may not be UTF-8
    except OSError as error:
        raise RunError(
            f"--out={out} cannot be written ({error.strerror}); name a file in another folder"
        ) from None


def _read(path: Path, read: Callable[[Path], Any]) -> Any:
    """A file's value; if it cannot be read, an empty list and a warning: the report then shows less."""
    if not path.exists():
        return []
    try:
        return read(path)
    except RunError as error:
        warn(f"the report leaves out {path.name}: {str(error)[:300]}")
        return []


def read_facts(run: RunDir) -> RunFacts:
    """The present contents of the run's files; a missing file counts as empty."""
    reader = HistoryReader(run, whole=False)
    status = read_status(run, reader=reader)
    spent = read_spent(run, running=status.state is RunState.RUNNING, reader=reader)
    history = reader.read()
    long = history.course if isinstance(history.course, LongCourse) else None
    checked = _read(run.data_check, read_reports)
    overrides = _read(run.overrides, read_words)
    files = sorted(path for path in run.export.rglob("*") if path.is_file()) if run.export.is_dir() else []
    return RunFacts(
        name=run.name,
        run_dir=str(run.path),
        plan=run.read_json(run.plan),
        events=run.read_events(),
        metrics=long.sample(_SAMPLED) if long else run.read_metrics(),
        data_check=checked,
        status={
            **dataclasses.asdict(status),
            "state": status.state.value,
            "spent": dataclasses.asdict(spent) if spent else None,
        },
        overrides=overrides,
        export=[(str(path.relative_to(run.export)), path.stat().st_size) for path in files],
        written=now(),
        version=__version__,
        history=history if long else None,
        lines=long.lines if long else None,
        gpu_memory_gib=_gpu_memory_gib(run),
    )


def _gpu_memory_gib(run: RunDir) -> float | None:
    """cluster.gpu_memory_gib in the run's config.yaml; None if it is not a number."""
    size = at(_read(run.config, read_mapping), "cluster", "gpu_memory_gib")
    return float(size) if is_number(size) else None


VERB = Verb(
    line="write one HTML page about a run or a sweep",
    example="report quickstart --out quickstart.html",
    add=_add,
    run=_run,
    prints={"of a run": (_OfRun, Written), "of a sweep": (_OfSweep, Written)},
    group="runs",
)
