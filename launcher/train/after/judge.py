"""The verb evaluate: loss, perplexity and exact match of the base model and the trained model on the same rows."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from launcher.data.cut import Cut
from launcher.data.examples import read_examples
from launcher.data.kinds import Example, to_chat
from launcher.data.mask import IGNORED, encode
from launcher.errors import DataError
from launcher.plugins.decide import Decided
from launcher.protocol.work.requests import CompareWithBase
from launcher.protocol.work.results import Say, WorkProgress
from launcher.protocol.work.scores import BaseComparison
from launcher.run import RunDir
from launcher.train.after.opened import Opened, open_run, prompt_text, stop_ids

_BATCH_TOKENS = 4096
"""Most tokens of a batch, including padding."""
_MORE, _MOST = 16, 1024
"""Extra tokens beyond the length of the expected answer that are generated, and the most tokens of an answer."""


@dataclass(frozen=True)
class EvaluationRows:
    """The rows of an evaluation."""

    encoded: list[dict[str, list[int]]]
    """input_ids and labels, cut at model.max_length."""
    questions: list[tuple[list[int], str]]
    """Token ids of the chat up to its last turn, and the expected answer."""
    left_out: int
    """Number of rows without a trained token within model.max_length."""


def answer(request: CompareWithBase, say: Say) -> BaseComparison:
    """The metrics of both models; DataError for rows from which no metric can be computed."""
    say(WorkProgress(what="loading the model"))
    run, metrics = RunDir(Path(request.run_dir)), request.metrics
    opened = open_run(run, request.checkpoint)
    assert opened.decided is not None
    rows = read(
        Path(request.data), request.max_rows, opened.decided, opened.tokenizer, "exact_match" in metrics
    )
    tuned = _judge("tuned", opened, opened.model, rows, metrics, say)
    with opened.base() as base:
        before = _judge("base", opened, base, rows, metrics, say)
    return BaseComparison(
        run=run.name,
        data=request.data,
        rows=len(rows.encoded),
        left_out=rows.left_out,
        tokens=sum(label != IGNORED for row in rows.encoded for label in row["labels"][1:]),
        questions=len(rows.questions) if "exact_match" in metrics else None,
        base=before,
        tuned=tuned,
    )


def read(path: Path, most: int | None, decided: Decided, tokenizer: Any, ask: bool) -> EvaluationRows:
    """The rows of the file, with the same masks as in training."""
    config = decided.config
    encoded: list[dict[str, list[int]]] = []
    questions: list[tuple[list[int], str]] = []
    cut = Cut()
    for line, example in itertools.islice(read_examples(path), most):
        row = encode(example, tokenizer, config.trainer.assistant_only_loss, f"{path}, line {line}")
        pieces = cut.fit(example, row, config.model.max_length)
        encoded += pieces
        if pieces and ask and (question := _question(to_chat(example), tokenizer)):
            questions.append(question)
    if not encoded:
        raise DataError(
            f"{path}: no row has a trained token within model.max_length={config.model.max_length}"
        )
    return EvaluationRows(encoded, questions, cut.left_out)


def _question(example: Example, tokenizer: Any) -> tuple[list[int], str] | None:
    """Prompt and expected answer; None for plain text and tool calls, for which there is no exact answer."""
    turns = example.get("messages")
    if not turns or not tokenizer.chat_template or any("tool_calls" in turn for turn in turns):
        return None
    more = {"tools": example["tools"]} if "tools" in example else {}
    text = prompt_text(tokenizer, turns[:-1], **more)
    return tokenizer(text, add_special_tokens=False)["input_ids"], turns[-1]["content"].strip()


def _judge(
    name: str, opened: Opened, model: Any, rows: EvaluationRows, metrics: Sequence[str], say: Say
) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    if "loss" in metrics:
        loss = _loss(name, opened, model, rows.encoded, say)
        found |= {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
    if "exact_match" in metrics:
        found["exact_match"] = (
            _exact_match(name, opened, model, rows.questions, say) if rows.questions else None
        )
    return found


def _loss(name: str, opened: Opened, model: Any, rows: list[dict[str, list[int]]], say: Say) -> float:
    """The mean loss over all trained tokens with equal weights."""
    total, tokens, done = 0.0, 0, 0
    for batch in _batches(rows, lambda row: len(row["input_ids"])):
        width = max(len(row["input_ids"]) for row in batch)
        ids = torch.tensor([_right(row["input_ids"], width, opened.tokenizer.pad_token_id) for row in batch])
        mask = torch.tensor([_right([1] * len(row["input_ids"]), width, 0) for row in batch])
        labels = torch.tensor([_right(row["labels"], width, IGNORED) for row in batch])[:, 1:]
        with torch.no_grad():
            logits = model(
                input_ids=ids.to(opened.device), attention_mask=mask.to(opened.device), use_cache=False
            ).logits[:, :-1]
        kept = (labels != IGNORED).to(logits.device)
        chosen = labels.to(logits.device)[kept]
        total += float(cross_entropy(logits[kept].float(), chosen, reduction="sum"))
        tokens += chosen.numel()
        done += len(batch)
        say(WorkProgress(what=f"{name}: loss", done=done, total=len(rows)))
    return total / tokens


def _exact_match(
    name: str, opened: Opened, model: Any, questions: list[tuple[list[int], str]], say: Say
) -> float:
    """Share of the questions whose greedy answer is the expected one, ignoring whitespace at the ends."""
    tokenizer, right, done = opened.tokenizer, 0, 0
    lengths = {
        answer: len(tokenizer(answer, add_special_tokens=False)["input_ids"]) for _, answer in questions
    }
    for batch in _batches(questions, lambda one: len(one[0]) + lengths[one[1]] + _MORE):
        width = max(len(ids) for ids, _ in batch)
        ids = torch.tensor([_left(ids, width, tokenizer.pad_token_id) for ids, _ in batch])
        mask = torch.tensor([_left([1] * len(ids), width, 0) for ids, _ in batch])
        with torch.no_grad():
            output = model.generate(
                input_ids=ids.to(opened.device),
                attention_mask=mask.to(opened.device),
                max_new_tokens=min(_MOST, max(lengths[answer] for _, answer in batch) + _MORE),
                do_sample=False,
                use_cache=True,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=stop_ids(model, tokenizer),
            )
        answers = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
        right += sum(text.strip() == answer for text, (_, answer) in zip(answers, batch, strict=True))
        done += len(batch)
        say(WorkProgress(what=f"{name}: answers", done=done, total=len(questions)))
    return right / len(questions)


def _batches(items: list[Any], length: Any) -> Iterator[list[Any]]:
    """Batches of items of similar length with at most _BATCH_TOKENS padded tokens, or of one item."""
    batch: list[Any] = []
    for item in sorted(items, key=length):
        if batch and (len(batch) + 1) * length(item) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def _right(values: list[int], width: int, filler: int) -> list[int]:
    return values + [filler] * (width - len(values))


def _left(values: list[int], width: int, filler: int) -> list[int]:
    return [filler] * (width - len(values)) + values
