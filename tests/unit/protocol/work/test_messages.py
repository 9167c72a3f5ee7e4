"""What a command and the process with the model tell each other."""

import inspect
from typing import Any

import pytest

from launcher.cli.verb import all_verbs
from launcher.protocol.codec import Message, ProtocolError, decode, encode, kinds
from launcher.protocol.work import chats, requests, results, scores
from launcher.protocol.work.chats import CHATS, SERVED, TEXTS, AnswerDone, AskChat, PromptRefused, ServedChat
from launcher.protocol.work.requests import (
    REQUESTS,
    MakeExport,
    MakeTokens,
    ModelChoice,
    OnData,
    OnModel,
    OnRun,
    OpenChat,
    ScoreOnTasks,
    WorkRequest,
)
from launcher.protocol.work.results import (
    REPLIES,
    ExportDone,
    ExportedModel,
    Tokenized,
    TokenSet,
    WorkProgress,
)
from launcher.protocol.work.scores import SortedChunk, SortedRow, TaskRows, TaskScore, TasksScored

BASES = {WorkRequest, OnRun, OnModel, OnData}
ALL = {**REQUESTS, **CHATS, **SERVED, **TEXTS, **REPLIES}
TRAIN: TokenSet = {
    "set": "train", "folder": "/c/1", "tokenized": True, "seconds": 0.5, "rows": 2, "examples": 3, "left_out": 1,
    "lengths": {"512": 3},
}  # fmt: skip
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"function": {"name": "f", "arguments": {"n": 1}}}],
}
EXPORTED = ExportedModel(
    run="a/1", path="/out", kind="merged", step=8, dtype="float32", bytes=9, verified="logits", difference=0.5, tolerance=1.0,
    why=None, effect=None, answers=True, warning=None, data=({"use": "train", "path": "a.csv", "sha256": None},),
)  # fmt: skip
SCORE = TaskScore(
    task="colours", metric="acc", filter="none", tuned=0.5, tuned_stderr=None, base=None, base_stderr=None,
    higher_is_better=True,
)  # fmt: skip
EXAMPLES = [
    MakeExport(run_dir="/r", checkpoint=None, to="/out", merged=False, dtype="bf16", force=True),
    ScoreOnTasks(
        run_dir="/r", checkpoint="/r/c", tasks=("a", "/b.yaml"), base=True, chat=False, few_shot=None, max_rows=3
    ),
    OpenChat(
        model=ModelChoice(run_dir="", folder="/out", checkpoint=None, base=False), max_new_tokens=8, temperature=0.5
    ),
    MakeTokens(config="seed: 1\n", facts={"rows": 3, "code": {}}, workers=2),
    AskChat(messages=({"role": "user", "content": "\u00e4\n"},)),
    ServedChat(
        id=1, messages=(CALL,), tools=({"type": "function"},), temperature=1.0, top_p=None, max_new_tokens=None, seed=-1,
        stop=("\n",),
    ),
    WorkProgress(what="loading"),
    AnswerDone(text="Yes.", tokens=2, complete=True, seconds=0.25),
    PromptRefused(reason="too long", param="messages", code=None),
    ExportDone(export=EXPORTED),
    SortedChunk(rows=(SortedRow(line=1, labels=("a",), probabilities={"a": 0.75, "b": 0.25}),)),
    TasksScored(
        scores=(SCORE,), tasks=(TaskRows(task="colours", rows=2, few_shot=0, version="1"),), texts={"colours": ("q a",)},
        lm_eval="0.4",
    ),
    Tokenized(cache="/c", workers=2, sets=(TRAIN,)),
]  # fmt: skip


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_is_one_line_and_comes_back_as_it_was(message: Message):
    line = encode(message)
    assert b"\n" not in line
    assert decode(line, ALL) == message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"kind": "export"}', "unknown kind of message 'export'; known: MakeExport, "),
        ('{"kind": "AskChat", "messages": []}', "unknown kind of message 'AskChat'"),  # follows a request, and is none
        ('{"kind": "OpenChat", "max_new_tokens": 1, "temperature": 0}', "OpenChat has no model"),
        ('{"kind": "OpenChat", "model": {"run_dir": ""}, "max_new_tokens": 1, "temperature": 0}', "ModelChoice has no folder"),
        ('{"kind": "MakeTokens", "config": "", "facts": [], "workers": 1}', "MakeTokens.facts is "),
        ('{"kind": "MakeTokens", "config": "", "facts": {}, "workers": true}', "MakeTokens.workers is True, which has a wrong"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_request_is_one_clear_error(line: str, said: str):
    with pytest.raises(ProtocolError, match=said):
        decode(line.encode(), REQUESTS)


@pytest.mark.parametrize("wrong", [{"rows": None}, {"rows": "2"}, {"lengths": {"512": 0.5}}])
def test_tokens_have_the_counts_that_are_declared_and_no_others(wrong: dict[str, Any]):
    sent = Tokenized(cache="/c", workers=2, sets=({**TRAIN, "more": 1},))  # pyright: ignore[reportArgumentType]
    assert decode(encode(sent), REPLIES) == Tokenized(cache="/c", workers=2, sets=(TRAIN,))
    broken: Any = {name: value for name, value in {**TRAIN, **wrong}.items() if value is not None}
    with pytest.raises(ProtocolError, match=r"Tokenized\.sets is "):
        decode(encode(Tokenized(cache="/c", workers=2, sets=(broken,))), REPLIES)


def test_a_message_with_a_field_that_the_wire_uses_is_refused():
    with pytest.raises(AssertionError):
        kinds(ExportedModel)  # pyright: ignore[reportArgumentType]


def test_every_message_is_accepted_by_some_side():
    declared = {
        name
        for module in (requests, chats, results, scores)
        for name, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, Message) and one is not Message and one not in BASES
    }
    assert declared == set(ALL)


def test_every_request_names_the_verb_that_makes_it():
    assert {one.verb for one in REQUESTS.values() if issubclass(one, WorkRequest)} <= all_verbs().keys()
