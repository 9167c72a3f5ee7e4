"""The scores of a run and its base on tasks of lm-evaluation-harness, and how much of the tasks is in the training data."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypedDict

from launcher.after.choose import chosen_checkpoint
from launcher.after.classify import is_classifier
from launcher.after.track_scores import track_scores
from launcher.after.worker import showing, worker
from launcher.config import read_config
from launcher.data.contamination import shared_with
from launcher.data.places import exists
from launcher.data.reading import reading_of
from launcher.errors import DataError, PackageError, UsageError
from launcher.hub import HUB
from launcher.plugins.decide import facts_from
from launcher.protocol.work.requests import ScoreOnTasks
from launcher.protocol.work.scores import TaskRows, TaskScore, TasksScored
from launcher.run import RunDir
from launcher.run.events.launching import TasksEvaluated
from launcher.run.events.results import Exported
from launcher.run.metrics import TASKS

_YAML = (".yaml", ".yml")


class TaskScores(TypedDict):
    """The trained model, and its base, on tasks of lm-evaluation-harness."""

    run: str
    """name/date_time."""
    checkpoint: str | None
    """The checkpoint that was evaluated; null for the finished model."""
    chat: bool
    """Whether the prompts were rendered with the model's chat template."""
    scores: list[TaskScore]
    """Every metric."""
    tasks: list[TaskRows]
    """Every task."""
    not_compared: str | None
    """Why the tasks were not compared with the training data; null if they were."""
    lm_eval: str
    """The version of lm-eval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """What is evaluated, and how."""

    tasks: Sequence[str]
    """Names of tasks or groups, and paths of YAML files."""
    checkpoint: str | None
    base: bool
    """Evaluate the base model as well."""
    chat: bool
    few_shot: int | None
    """None: as each task says."""
    max_rows: int | None


def parse_tasks(text: str) -> list[str]:
    """The tasks, with absolute paths of files; UsageError if there is none, DataError for a file that is missing."""
    found: list[str] = []
    for name in (one.strip() for one in text.split(",")):
        if not name:
            continue
        path = Path(name).expanduser()
        if path.suffix in _YAML or "/" in name:
            if not path.is_file():
                raise DataError(
                    f"--tasks: {name} is not a file; give the path of a task's YAML file, or a task's name"
                )
            found.append(str(path.absolute()))
        else:
            found.append(name)
    if not found:
        raise UsageError("--tasks is empty; give names or YAML files of tasks, separated by commas")
    return found


def check_installed() -> None:
    """Raises PackageError if lm-eval is not installed."""
    if importlib.util.find_spec("lm_eval") is None:
        raise PackageError(
            "--tasks needs lm-evaluation-harness, which this Python does not have; pip install 'launcher[tasks]', or "
            "pip install lm-eval"
        )


def evaluate_tasks(run: RunDir, settings: TaskSettings) -> TaskScores:
    """The scores, which are also an event of the run; PackageError, UsageError, DataError or RunError if there are none."""
    check_installed()
    if is_classifier(run):
        raise UsageError(
            f"--tasks: {run.name} is a classifier, and tasks need a model that answers; use --data FILE"
        )
    chosen = chosen_checkpoint(run, settings.checkpoint)
    request = ScoreOnTasks(
        run_dir=str(run.path),
        checkpoint=str(chosen) if chosen else None,
        tasks=tuple(settings.tasks),
        base=settings.base,
        chat=settings.chat,
        few_shot=settings.few_shot,
        max_rows=settings.max_rows,
    )
    with worker(request) as work, showing() as show:
        found = work.result(TasksScored, show)
    shared, why = _in_training(run, found.texts)
    result: TaskScores = {
        "run": run.name,
        "checkpoint": chosen.name if chosen else None,
        "chat": settings.chat,
        "scores": list(found.scores),
        "tasks": [replace(one, in_training=shared.get(one.task)) for one in found.tasks],
        "not_compared": why,
        "lm_eval": found.lm_eval,
    }
    run.note(
        TasksEvaluated(
            attempt=run.attempts(),
            checkpoint=result["checkpoint"],
            chat=settings.chat,
            scores=[asdict(one) for one in result["scores"]],
            tasks=[asdict(one) for one in result["tasks"]],
            lm_eval=result["lm_eval"],
        )
    )
    step = int(chosen.name.rpartition("_")[2]) if chosen else _trained_steps(run)
    if step is not None:
        track_scores(run, step, {f"{TASKS}{score_name(one)}": one.tuned for one in found.scores})
    return result


def score_name(one: TaskScore) -> str:
    """TASK/METRIC, with the filter if there is one."""
    return f"{one.task}/{one.metric}" + ("" if one.filter == "none" else f",{one.filter}")


def _trained_steps(run: RunDir) -> int | None:
    """Steps of the finished model; None if no event tells them."""
    exported = run.read_events(Exported)
    return exported[-1].step if exported else None


def _in_training(run: RunDir, texts: Mapping[str, Sequence[str]]) -> tuple[dict[str, int], str | None]:
    """Task -> the number of its documents that share words with the training rows; or why that is not known."""
    facts, config = facts_from(run.read_json(run.plan).get("facts")), read_config(str(run.config))
    paths = facts.data_sources or (facts.data_path,)
    for path in paths:
        if path.startswith(HUB):
            return {}, f"{path} is read from a hub"
        if not exists(path):
            return {}, f"{path} is no longer there"
    every = [(name, text) for name, found in texts.items() for text in found]
    shared: set[int] = set()
    try:
        for at, path in enumerate(paths):
            reading = reading_of(config.data, at) if facts.data_sources else reading_of(config.data)
            shared |= shared_with([text for _, text in every], path, reading)
    except DataError as error:
        return {}, str(error)
    counts = dict.fromkeys(texts, 0)
    for at in shared:
        counts[every[at][0]] += 1
    return counts, None
