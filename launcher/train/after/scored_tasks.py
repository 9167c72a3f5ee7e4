"""The verb evaluate with tasks of lm-evaluation-harness: scores of the trained model and its base on the same documents."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launcher import environment
from launcher.errors import DataError, RunError
from launcher.protocol.work.requests import ScoreOnTasks
from launcher.protocol.work.results import Say, WorkProgress
from launcher.protocol.work.scores import TaskRows, TaskScore, TasksScored
from launcher.run import RunDir
from launcher.train.after.opened import Opened, open_run

_BATCH = 8
_DRAWS = 1000
"""Draws of the bootstrap for metrics whose standard error has no formula."""
_NOT_METRICS = ("alias", "name", "sample_len", "sample_count")
"""Keys of a task's results that are not metrics."""


def answer(request: ScoreOnTasks, say: Say) -> TasksScored:
    """The scores of each task, its number of documents, and their texts; DataError for a task that cannot be loaded."""
    os.environ[environment.DISABLE_MULTIPROC] = "1"
    say(WorkProgress(what="loading the tasks"))
    tasks = _Tasks(request)
    say(WorkProgress(what="loading the model"))
    opened = open_run(RunDir(Path(request.run_dir)), request.checkpoint)
    if request.chat and not opened.tokenizer.chat_template:
        raise DataError("--chat: this model has no chat template; leave it out")
    say(WorkProgress(what="tuned: tasks"))
    tuned = tasks.scores(opened, opened.model)
    base: dict[str, Any] | None = None
    if request.base:
        with opened.base() as model:
            say(WorkProgress(what="base: tasks"))
            base = tasks.scores(opened, model)
    import lm_eval

    return TasksScored(
        scores=tuple(_rows(tuned, base)),
        tasks=tuple(
            TaskRows(
                task=name, rows=tuned["n-samples"][name]["effective"], few_shot=tuned["n-shot"].get(name, 0),
                version=str(tuned["versions"].get(name, "")),
            )
            for name in tasks.loaded
        ),
        texts={name: tuple(tasks.texts(name)) for name in tasks.loaded},
        lm_eval=getattr(lm_eval, "__version__", tuned.get("lm_eval_version") or "unknown"),
    )  # fmt: skip


class _Tasks:
    """The tasks of a request."""

    def __init__(self, request: ScoreOnTasks) -> None:
        from lm_eval.tasks import TaskManager

        self._request = request
        self._names = list(request.tasks)
        shipped = any(not Path(name).is_absolute() for name in self._names)
        self._manager = TaskManager(include_defaults=shipped)
        try:
            self.loaded: dict[str, Any] = self._manager.load(self._names)["tasks"]
        except KeyError as error:
            raise DataError(
                f"--tasks: {error.args[0] if error.args else error}; lm-eval ls tasks lists the names, or give the path of a "
                "YAML file"
            ) from None
        except Exception as error:  # a task's own code and its data set can fail in any way
            said = " ".join(str(error).split())[:300]
            raise DataError(
                f"--tasks {','.join(self._names)} cannot be loaded ({type(error).__name__}: {said}); without a hub use a "
                "YAML file whose data are local files"
            ) from None

    def scores(self, opened: Opened, model: Any) -> dict[str, Any]:
        """The results of lm-eval's simple_evaluate."""
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        before = _places(model)
        lm = HFLM(pretrained=model, tokenizer=opened.tokenizer, batch_size=_BATCH)
        if _places(model) != before:
            raise RunError(
                "lm-eval ties the embeddings and the head of this model, which training has made different; write one model "
                "with launcher export --merged, and evaluate that folder with lm-eval itself"
            )
        try:
            found = simple_evaluate(
                model=lm, tasks=self._names, task_manager=self._manager, num_fewshot=self._request.few_shot,
                limit=self._request.max_rows, apply_chat_template=self._request.chat, bootstrap_iters=_DRAWS,
                log_samples=False,
            )  # fmt: skip
        except ValueError as error:
            raise DataError(
                f"--tasks {','.join(self._names)}: {' '.join(str(error).split())[:300]}"
            ) from None
        assert found is not None
        return dict(found)

    def texts(self, name: str) -> Iterator[str]:
        """Question and answer of each document that was evaluated."""
        task = self.loaded[name]
        for doc in itertools.islice(task.eval_docs, self._request.max_rows):
            yield " ".join(str(part) for part in _parts(task, doc) if isinstance(part, str) and part)


def _parts(task: Any, doc: Any) -> Iterator[Any]:
    """What a document asks, and its answer: a text, several, or the index of one of the choices."""
    yield task.doc_to_text(doc)
    target = task.doc_to_target(doc)
    if isinstance(target, int) and task.config.doc_to_choice is not None:
        target = task.doc_to_choice(doc)[target]
    yield from target if isinstance(target, list) else [target]


def _places(model: Any) -> dict[str, int]:
    return {name: parameter.data_ptr() for name, parameter in model.named_parameters(remove_duplicate=False)}


def _rows(tuned: dict[str, Any], base: dict[str, Any] | None) -> Iterator[TaskScore]:
    """One row for each metric of each task, and of each group that has metrics of its own."""
    for name, results in {**tuned["results"], **tuned.get("groups", {})}.items():
        for key, value in results.items():
            metric, _, how = key.partition(",")
            if key in _NOT_METRICS or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            error = f"{metric}_stderr,{how}"
            other = {} if base is None else {**base["results"], **base.get("groups", {})}[name]
            yield TaskScore(
                task=name,
                metric=metric,
                filter=how,
                tuned=float(value),
                tuned_stderr=_number(results.get(error)),
                base=_number(other.get(key)),
                base_stderr=_number(other.get(error)),
                higher_is_better=tuned["higher_is_better"].get(name, {}).get(metric),
            )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
