"""`prompt_completion`: a prompt and its answer; only the answer is trained on."""

from typing import Any

from launcher.data.fields import read_side, read_systems, with_tools, without_weight
from launcher.data.findings import BrokenRow
from launcher.data.kinds import Example, untrained
from launcher.data.transcript import answer_of, asked_in, is_open
from launcher.data.turns import Message, check_order, is_trained
from launcher.formats.base import SYSTEM, TOOLS, Fields, Format


def _matches(row: Fields) -> bool:
    return "prompt" in row and "completion" in row


def _read(row: Fields) -> Example:
    asked, said = row.get("prompt"), row.get("completion")
    if isinstance(asked, str) and isinstance(said, str) and is_open(asked):
        turns = [*read_systems(row), *untrained(asked_in(asked, "prompt")), *answer_of(said, "completion")]
        check_order(turns)
        return {"messages": turns}
    prompt = read_side(asked, "prompt", "user")
    if prompt[0]["role"] != "system":
        prompt = [*read_systems(row), *prompt]
    answer = read_side(said, "completion", "assistant")
    if prompt[-1]["role"] == "user" and len(answer) > 1 and answer[0]["role"] in ("system", "user"):
        raise BrokenRow(
            "role_order",
            "completion holds a whole chat, with a question of its own; data.columns={messages: completion} data.drop=[prompt] "
            "reads that chat alone",
        )
    turns = [*untrained(prompt), *answer]
    check_order(turns)
    return with_tools({"messages": turns}, row)


def _write(example: Example) -> dict[str, Any]:
    """Strings for one question and its answer; otherwise lists of turns, of which all but the last are the prompt."""
    turns: list[Message] = example["messages"]
    if "tools" in example:
        raise BrokenRow("format", "prompt_completion cannot hold tools; use --to messages")
    if not is_trained(turns[-1]) or any(is_trained(turn) for turn in turns[:-1]):
        raise BrokenRow(
            "format",
            "prompt_completion trains only on the last turn; use --to messages, or weight 0 on the other turns",
        )
    prompt = [without_weight(turn) for turn in turns[:-1]]
    completion = without_weight(turns[-1])
    if [set(turn) for turn in (*prompt, completion)] == [{"role", "content"}] * 2:
        return {"prompt": prompt[0]["content"], "completion": completion["content"]}
    return {"prompt": prompt, "completion": [completion]}


SPEC = Format(
    keys=("prompt", "completion", *SYSTEM, *TOOLS),
    kind="chat",
    precedence=50,
    matches=_matches,
    read=_read,
    write=_write,
    writes=("chat", "pair", "labelled"),
    from_chat=True,
    text_or_turns=("prompt", "completion"),
    meanings={
        "prompt": (
            "question",
            "query",
            "instruction",
            "input",
            "user",
            "human",
            "problem",
            "ask",
            "request",
            *(
                "input_text",
                "sql_prompt",
                "problem_statement",
                "source_text",
                "article",
                "document",
                "dialogue",
                "dialog",
                "passage",
                "source",
                "post",
                "body",
                "description",
                "email",
                "ticket",
                "customer",
                "user_message",
            ),
        ),
        "completion": (
            *(
                "response",
                "answer",
                "output",
                "reply",
                "assistant",
                "solution",
                "target",
                "gpt",
                "bot",
                "result",
            ),
            *(
                "answers",
                "label_text",
                "target_text",
                "generation",
                "highlights",
                "summary",
                "sql",
                "code",
                "tldr",
                "expected_output",
                "expectedoutput",
                "expected",
                "ground_truth",
                "reference",
                "agent",
                "assistant_message",
                "text",
            ),
        ),
    },
    example={"prompt": "Hi", "completion": "Hello"},
    shape='`{"prompt": ..., "completion": ...}`: strings, or lists of turns',
    note="; answers in the prompt are not trained on",
)
