"""Makes the tokens of a run before it starts: which Python makes them, and what is printed meanwhile."""

import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from omegaconf import OmegaConf

from launcher.after.worker import Show, worker
from launcher.config import Config, ContainerRuntime
from launcher.errors import ConfigError, RunError
from launcher.launching.composed import Composed
from launcher.launching.data_gate import check_data
from launcher.launching.facts import count, gather
from launcher.launching.machine_gate import for_plan
from launcher.launching.tokens_made import note_tokens
from launcher.output import align, make_console, say
from launcher.plan import LaunchPlan
from launcher.plan.containers import TEMPLATES
from launcher.plan.place import container_command
from launcher.plugins.base import make_plugins
from launcher.plugins.decide import decide
from launcher.protocol.work.requests import MakeTokens
from launcher.protocol.work.results import Tokenized, TokenSet, WorkProgress
from launcher.run import new_run_dir
from launcher.units import duration, plural

_SAY_S = 30.0
"""Seconds between two lines of progress if stderr is not a terminal, such as in the log of a job."""


def plan_tokens(composed: Composed, moment: datetime) -> tuple[Composed, LaunchPlan]:
    """The plan of the run, without what only a launch needs: nodes and GPUs; LauncherError for what a launch would refuse."""
    config = composed.config
    run = new_run_dir(Path(config.runs_dir).absolute(), config.name, moment, composed.trial)
    composed, _ = for_plan(composed, gather(config, composed.experiment, run))
    facts = gather(composed.config, composed.experiment, run)
    plan = decide(composed.config, facts, make_plugins(composed.config.plugins))
    counted = count(composed.config, facts, check_data(composed.config))
    return composed, dataclasses.replace(plan, facts=counted)


def tokenize(composed: Composed, plan: LaunchPlan, workers: int, *, quiet: bool) -> Tokenized:
    """What was found or made; DataError for data that cannot be tokenized."""
    config = composed.config
    make_cache(config, plan.facts.cache_dir)
    request = MakeTokens(
        config=OmegaConf.to_yaml(composed.cfg, resolve=True),
        facts=plan.to_dict()["facts"],
        workers=workers,
    )
    environ = {**config.cluster.env, "CUDA_VISIBLE_DEVICES": ""}
    with worker(request, ranks_python(config, plan), environ) as work, shown(quiet) as show:
        result = work.result(Tokenized, show)
    note_tokens(config, plan.facts, result.sets)
    return result


def ranks_python(config: Config, plan: LaunchPlan) -> list[str]:
    """The command of the ranks' Python, since other versions of its packages make other tokens; empty for this Python."""
    container = config.cluster.container
    if container.runtime is ContainerRuntime.none:
        if plan.facts.python == sys.executable:
            return []
        if shutil.which(plan.facts.python) is None:
            raise ConfigError(
                f"cluster.python={plan.facts.python} is not on this machine; run this on a node: give --queue, or salloc"
            )
        return [plan.facts.python]
    if container.runtime not in TEMPLATES:
        raise ConfigError(
            f"cluster.container.runtime={container.runtime.name} opens an image only for the steps of a job; run this in the "
            "image, with cluster.container.runtime=none and the same cache_dir"
        )
    facts = dataclasses.replace(plan.facts, device="cpu", run_dir=plan.facts.cache_dir)
    make_cache(config, facts.cache_dir)
    return [*container_command(config, facts), container.python]


def make_cache(config: Config, folder: str) -> None:
    """Creates cache_dir; RunError if it cannot be created."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cache_dir={config.cache_dir} cannot be created ({error.strerror}); choose another folder"
        ) from None


@contextmanager
def shown(quiet: bool) -> Generator[Show]:
    """A function that shows progress on stderr: a bar on a terminal, otherwise a line every 30 seconds."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _lines()


def _lines() -> Show:
    last = [time.monotonic()]

    def show(progress: WorkProgress) -> None:
        if progress.done is not None and time.monotonic() - last[0] > _SAY_S:
            last[0] = time.monotonic()
            total = "" if progress.total is None else f" of {progress.total:,}"
            say(f"{progress.what}: {progress.done:,}{total} examples")

    return show


@contextmanager
def _bar() -> Generator[Show]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=make_console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda progress: bar.update(
            task, description=progress.what, completed=progress.done or 0, total=progress.total
        )


def describe(result: Tokenized) -> str:
    """What was found or made as text."""
    lines: list[tuple[str, str]] = []
    for one in result.sets:
        how = f"made in {duration(one['seconds'])}" if one["tokenized"] else "already in the cache"
        lines.append((one["set"], f"{_size(one)}, {how}{_lost(one)}"))
    return align(
        [
            *lines,
            ("cache", result.cache),
            ("next", "launch with the same arguments: the run finds these tokens"),
        ]
    )


def _size(one: TokenSet) -> str:
    """How many rows of the data became how many sequences."""
    rows, sequences = plural(one["examples"], "row"), plural(one["rows"], "sequence")
    if "tokens" not in one:
        return f"{rows} of data, {sequences}"
    packed = "packed into " if one.get("documents", 0) > one["rows"] else ""
    size = f"{one['tokens']:,} tokens, at most {one.get('longest', 0):,} in a sequence"
    return f"{rows} of data, {packed}{sequences} ({size})"


def _lost(one: TokenSet) -> str:
    """Which part of the data is not in the sequences."""
    lost = (
        (one["left_out"], "row", "left out"),
        (one.get("cut", 0), "row", "cut"),
        (one.get("split", 0), "long text", "split"),
    )
    return "".join(f"; {plural(count, what)} {how}" for count, what, how in lost if count)


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))
