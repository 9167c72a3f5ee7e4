"""The answers of a classifier on rows: its logits, and what becomes of them in the verbs evaluate and classify."""

import dataclasses
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from launcher.config.data import AUTO
from launcher.data.examples import read_examples
from launcher.data.kinds import Example
from launcher.data.mask import encode_whole
from launcher.data.reading import AS_IT_STANDS, Reading, reading_of
from launcher.errors import DataError
from launcher.plan.classes import Classes
from launcher.protocol.lines import read_lines
from launcher.protocol.work.chats import TEXTS, ModelReady, TextToSort
from launcher.protocol.work.requests import ScoreClassifier, SortTexts
from launcher.protocol.work.results import Say, WorkProgress
from launcher.protocol.work.scores import (
    CalibrationBin,
    ClassifierScores,
    ClassScore,
    ConfusedRow,
    SortedChunk,
    SortedRow,
    SortingDone,
)
from launcher.run import RunDir
from launcher.train.after.opened import Opened, open_classifier, open_classifier_folder
from launcher.train.class_scores import ClassScores, score

_BATCH_TOKENS = 4096
"""Most tokens of a batch, including padding."""
_CHUNK = 512
"""Rows that are read, sorted by their lengths and answered before the next are read."""


def answer(request: ScoreClassifier | SortTexts, say: Say) -> ClassifierScores | SortingDone:
    """The scores of the classifier on a file with labels, or the number of rows that it sorted, which are handed on in
    chunks."""
    say(WorkProgress(what="loading the model"))
    if isinstance(request, ScoreClassifier):
        return _evaluate(request, say)
    model = request.model
    if model.folder:
        opened, classes = open_classifier_folder(Path(model.folder))
    else:
        opened, classes = open_classifier(RunDir(Path(model.run_dir)), model.checkpoint)
    return _sort(opened, classes, request, say)


def _evaluate(request: ScoreClassifier, say: Say) -> ClassifierScores:
    run = RunDir(Path(request.run_dir))
    opened, classes = open_classifier(run, request.checkpoint)
    assert opened.decided is not None
    path, numbers = request.data, {name: at for at, name in enumerate(classes.names)}
    examples = read_examples(path, reading_of(opened.decided.config.data))
    found: list[torch.Tensor] = []
    labels: list[list[int]] = []
    cut = done = 0
    for chunk in _chunks(itertools.islice(examples, request.max_rows)):
        for line, example in chunk:
            labels.append(_wanted(example, numbers, classes, f"{path}, line {line}"))
        logits, shortened = _logits(opened, chunk, path)
        found.append(logits)
        cut += shortened
        done += len(chunk)
        say(WorkProgress(what=f"sorting {done:,} rows"))
    if not labels:
        raise DataError(f"{path} holds no rows; give a file with texts and labels")
    wanted = torch.tensor(labels)
    wanted = wanted if classes.multi_label else wanted[:, 0]
    constant = _constant(classes, opened.decided.plan.facts, len(labels))
    tuned = score(torch.cat(found), wanted, classes)
    return ClassifierScores(
        run=run.name,
        data=path,
        rows=len(labels),
        cut=cut,
        constant=_figures(score(constant, wanted, classes)),
        constant_label=_usual(classes, opened.decided.plan.facts),
        tuned=_figures(tuned),
        classes=tuple(ClassScore(**one) for one in tuned.by_class),
        confusion=tuple(
            ConfusedRow(label=classes.names[truth], answered=classes.names[said], rows=number)
            for truth, said, number in tuned.confusion
        ),
        calibration=tuple(
            CalibrationBin(confidence=sure, right=share, decisions=number)
            for sure, share, number in tuned.bins
        ),
    )


def _wanted(example: Example, numbers: dict[str, int], classes: Classes, where: str) -> list[int]:
    """The labels of a row as the scores take them; DataError for one without labels, or with another class."""
    if "labels" not in example:
        raise DataError(f'{where}: the row has no label; give {{"text": ..., "label": ...}}')
    labels: list[str] = example["labels"]
    for label in labels:
        if label not in numbers:
            raise DataError(
                f"{where}: label {label!r} is not one of the model's classes ({', '.join(numbers)})"
            )
    if classes.multi_label:
        return [int(name in labels) for name in numbers]
    if len(labels) != 1:
        raise DataError(
            f"{where}: the row has {len(labels)} classes, and this model gives each row one; leave one class in the row"
        )
    return [numbers[labels[0]]]


def _constant(classes: Classes, facts: Any, rows: int) -> torch.Tensor:
    """Logits of a model that knows only how often each class occurs in the training rows."""
    counts = torch.tensor([float(facts.classes[name]) for name in classes.names]).clamp(min=0.5)
    total = max(facts.classified_rows, 1)
    share = (counts / total).clamp(max=1 - 0.5 / total) if total > 1 else torch.full_like(counts, 0.5)
    one = torch.logit(share) if classes.multi_label else share.log()
    return one.expand(rows, -1)


def _usual(classes: Classes, facts: Any) -> str | None:
    """The class that most training rows have; None with several classes to a row, or if the rows were not counted."""
    if classes.multi_label or not facts.classified_rows:
        return None
    return max(classes.names, key=lambda name: facts.classes[name])


def _figures(scores: ClassScores) -> dict[str, float]:
    return {"loss": scores.loss, **scores.figures}


def _sort(opened: Opened, classes: Classes, request: SortTexts, say: Say) -> SortingDone:
    """Says the class of each row, chunk by chunk, in the order of the rows."""
    done = cut = 0
    say(ModelReady(device=opened.device))
    for chunk in _chunks(_asked(opened, request)):
        logits, shortened = _logits(opened, chunk, request.data or "the text")
        chances = logits.sigmoid() if classes.multi_label else logits.softmax(-1)
        say(
            SortedChunk(
                rows=tuple(
                    _answered(line, row, classes, request.threshold)
                    for (line, _), row in zip(chunk, chances.tolist(), strict=True)
                )
            )
        )
        done += len(chunk)
        cut += shortened
    return SortingDone(rows=done, cut=cut)


def _asked(opened: Opened, request: SortTexts) -> Iterator[tuple[int, Example]]:
    """Line and row of the file, or of the lines of text on stdin."""
    if not request.data:
        for number, given in enumerate(read_lines(sys.stdin.buffer, TEXTS), start=1):
            assert isinstance(given, TextToSort)
            yield number, {"text": given.text}
        return
    reading: Reading = reading_of(opened.decided.config.data) if opened.decided else AS_IT_STANDS
    yield from read_examples(request.data, dataclasses.replace(reading, format=AUTO))


def _answered(line: int, chances: list[float], classes: Classes, threshold: float) -> SortedRow:
    """The classes of one row, the likeliest first, and the probability of every class."""
    named = dict(zip(classes.names, (round(chance, 6) for chance in chances), strict=True))
    order = sorted(named, key=lambda name: -named[name])
    labels = [name for name in order if named[name] >= threshold] if classes.multi_label else order[:1]
    return SortedRow(line=line, labels=tuple(labels), probabilities=named)


def _chunks(rows: Iterable[tuple[int, Example]]) -> Iterator[list[tuple[int, Example]]]:
    every = iter(rows)
    while chunk := list(itertools.islice(every, _CHUNK)):
        yield chunk


def _logits(opened: Opened, rows: list[tuple[int, Example]], path: str) -> tuple[torch.Tensor, int]:
    """[rows, classes] in fp32 on the CPU, in the order of the rows, and how many rows were cut at model.max_length."""
    most = opened.decided.config.model.max_length if opened.decided else None
    encoded: list[list[int]] = []
    for line, example in rows:
        where = f"{path}, line {line}"
        encoded.append(encode_whole(_read(example, where), opened.tokenizer, where))
    cut = sum(len(ids) > most for ids in encoded) if most else 0
    encoded = [ids[:most] for ids in encoded]
    found: dict[int, torch.Tensor] = {}
    for batch in _batches(encoded):
        width = max(len(encoded[at]) for at in batch)
        ids = torch.full((len(batch), width), opened.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for place, at in enumerate(batch):
            ids[place, : len(encoded[at])] = torch.tensor(encoded[at])
            mask[place, : len(encoded[at])] = 1
        with torch.no_grad():
            logits = opened.model(
                input_ids=ids.to(opened.device), attention_mask=mask.to(opened.device), use_cache=False
            ).logits
        found |= dict(zip(batch, logits.float().cpu(), strict=True))
    return torch.stack([found[at] for at in range(len(encoded))]), cut


def _read(example: Example, where: str) -> Example:
    """The text or the turns that are read; an answer is left out, as the rows of training have none."""
    if "text" in example or "messages" in example:
        return example
    if "prompt" in example and not {"completion", "chosen"} & example.keys():
        return {"messages": example["prompt"]}
    raise DataError(
        f"{where}: the row holds answers to compare, and neither a text nor a chat; give one of these"
    )


def _batches(encoded: list[list[int]]) -> Iterator[list[int]]:
    """Numbers of rows of similar length, at most _BATCH_TOKENS padded tokens at once, or one row."""
    batch: list[int] = []
    for at in sorted(range(len(encoded)), key=lambda at: len(encoded[at])):
        if batch and (len(batch) + 1) * len(encoded[at]) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch
