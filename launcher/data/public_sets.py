"""Rows of public data sets that no method learns from as they are: what they are for, and the command that changes them."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from launcher.data.within import dig

Row = Mapping[str, Any]

CHOICES = ("choices", "options")
"""Names of the possible answers of a question."""
MEDIA = frozenset(f"{name}{end}" for name in ("image", "video", "audio") for end in ("", "s"))
"""Names of what a row shows or plays beside its text."""
_NO_METHOD = "for a process reward model, which no method here trains"


def way_out(row: Row) -> str | None:
    """What such a row is and how to go on, in one sentence; None for a row that is of no known set."""
    return next((said for look in _KNOWN if (said := look(row))), None)


def _exam(row: Row) -> str | None:
    """A question with its possible answers, of which one is named by its number or letter: MMLU, MMLU-Pro, ARC and the like."""
    name = next((name for name in CHOICES if name in row), None)
    question = next((key for key in ("question", "query", "prompt") if isinstance(row.get(key), str)), None)
    if name is None or question is None:
        return None
    given: Any = row[name]
    inner: dict[str, Any] = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    texts: Any = inner.get("text", given)
    key = next((key for key in ("answer", "answerKey", "answer_index") if key in row), None)
    if not isinstance(texts, list) or key is None:
        return None
    answer, place = row[key], f".{name}.text" if inner else f".{name}"
    if isinstance(answer, int):
        right = f"{place}[.{key}]"
    elif isinstance(answer, str) and len(answer) == 1:
        letters = f".{name}.label" if "label" in inner else '"ABCDEFGHIJ"'
        right = f".{key} as $right | {place}[{letters} | index($right)]"
    else:
        return None
    program = f'{{prompt: (.{question} + "\\n" + ({place} | join("\\n"))), completion: ({right})}}'
    return f"a row with {name} is a question of an exam, made to evaluate models; to train on the right answers: {_jq(program)}"


def _truth(row: Row) -> str | None:
    """A question whose answer is true or false, as in BoolQ."""
    if not isinstance(row.get("answer"), bool) or not isinstance(row.get("question"), str):
        return None
    text = next((key for key in ("passage", "context") if isinstance(row.get(key), str)), None)
    prompt = f'(.{text} + "\\n\\n" + .question)' if text else ".question"
    program = f'{{prompt: {prompt}, completion: (if .answer then "yes" else "no" end)}}'
    return f"answer is true or false, not a text (as in BoolQ); to answer yes or no: {_jq(program)}"


def _steps(row: Row) -> str | None:
    """Labels of the steps of a solution, as OpenAI published them (PRM800K), or as a list beside the steps."""
    if isinstance(row.get("completions"), list) and isinstance(row.get("labels"), list):
        return f"completions with as many labels are the steps of an answer, {_NO_METHOD}; take a set of whole answers"
    question: Any = row.get("question")
    if "is_quality_control_question" not in row or not isinstance(question, dict):
        return None
    solution = next(
        (key for key in ("ground_truth_solution", "ground_truth_answer") if key in question), "SOLUTION"
    )
    columns = f"data.columns={{prompt: question.problem, completion: question.{solution}}}"
    return (
        f"label.steps rates the steps of a solution (PRM800K), {_NO_METHOD}; {columns} "
        "data.drop=[label] trains on the right solutions"
    )


def _moss(row: Row) -> str | None:
    """A chat of MOSS: an object with a turn of both sides under turn_1, turn_2 and so on."""
    chat: Any = row.get("chat")
    if not isinstance(chat, dict) or not isinstance(cast("dict[str, Any]", chat).get("turn_1"), dict):
        return None
    program = (
        '{messages: [.chat[] | (.Human, .MOSS) | sub("^<[|][^|]*[|]>: *"; "") | sub("<eo[a-z]>\\\\s*$"; "")] | to_entries | '
        'map({role: (if .key % 2 == 0 then "user" else "assistant" end), content: .value})}'
    )
    return f"chat holds the turns of MOSS by number; to train on them without its commands and thoughts: {_jq(program)}"


def _tree(row: Row) -> str | None:
    """A single message of a tree of chats, as of OpenAssistant."""
    if "message_tree_id" not in row and not {"parent_id", "role", "text"} <= row.keys():
        return None
    return (
        "the rows are single messages of trees, such as OpenAssistant's (parent_id says which one each answers), not chats; "
        "take the file of trees (*.trees.jsonl.gz), or train on the texts alone: data.keep=[text]"
    )


def _passages(row: Row) -> str | None:
    """An article of SQuAD as its authors published it: paragraphs, each with its questions."""
    given: Any = row.get("paragraphs")
    paragraphs = cast("list[Any]", given) if isinstance(given, list) else []
    if not paragraphs or not isinstance(paragraphs[0], dict) or "qas" not in paragraphs[0]:
        return None
    program = (
        ".. | .paragraphs? // empty | .[] | .context as $context | .qas[] | select(.answers[0]) | "
        "{context: $context, question, answer: .answers[0].text}"
    )
    return f"paragraphs holds the questions of an article (SQuAD); a row for each that has an answer: {_jq(program)}"


def _logged(row: Row) -> str | None:
    """A request to OpenAI's API with its response, or one of them, as logs and batches hold them."""
    asked = next(
        (place for place in ("request", "request.body", "body") if _has(row, place, "messages")), None
    )
    said = next((place for place in ("response", "response.body") if _has(row, place, "choices")), None)
    if asked and said:
        columns = f"data.columns={{prompt: {asked}.messages, completion: {said}.choices.0.message}}"
        return f"{asked} and {said} are a logged call of a chat API; {columns} trains on its answer"
    if (asked or said) and "custom_id" in row:
        program = (
            "($said | INDEX(.custom_id)) as $by | $asked[] | {messages: (.body.messages + "
            "[$by[.custom_id].response.body.choices[0].message])}"
        )
        return (
            "the questions of a batch are in one file and its answers in another, by custom_id; to join them: "
            f"jq -cn --slurpfile asked IN.jsonl --slurpfile said OUT.jsonl '{program}' > NEW.jsonl"
        )
    return None


def _has(row: Row, place: str, key: str) -> bool:
    """Whether the object at that place has a list under that key."""
    found: Any = dig(row, place)
    return isinstance(found, dict) and isinstance(cast("dict[str, Any]", found).get(key), list)


def _exported(row: Row) -> str | None:
    """A chat as ChatGPT exports it (conversations.json): messages by their id."""
    nodes: Any = row.get("mapping")
    if not isinstance(nodes, dict):
        return None
    found = cast("dict[str, Any]", nodes).values()
    if not found or not all(isinstance(one, dict) and "message" in one for one in found):
        return None
    program = (
        '.. | .mapping? // empty | {messages: [.[].message | select(. != null and (.author.role | IN("user", "assistant"))) | '
        '{role: .author.role, content: ([.content.parts[]? | strings] | join("\\n"))} | select(.content != "")]}'
    )
    return f"mapping holds the messages of a chat by their id (an export of ChatGPT); to train on them: {_jq(program)}"


def _translation(row: Row) -> str | None:
    """A sentence in several languages, as in WMT's sets."""
    texts: Any = row.get("translation")
    if not isinstance(texts, dict) or len(cast("dict[str, Any]", texts)) < 2:
        return None
    one, other = list(cast("dict[str, Any]", texts))[:2]
    columns = f"data.columns={{prompt: translation.{one}, completion: translation.{other}}}"
    return (
        f"translation holds a sentence in several languages; {columns} trains on the translation into {other}"
    )


def _classes(row: Row) -> str | None:
    """Sentences with a class, which is not a text to answer with: GLUE's sets, HellaSwag, PIQA, Winogrande."""
    parts = next(
        (
            keys
            for keys in (("premise", "hypothesis"), ("sentence1", "sentence2"), ("ctx", "endings"), ("goal", "sol1"))
            if all(key in row for key in keys)
        ),
        ("sentence", "option1") if "sentence" in row and "option1" in row else None,
    )  # fmt: skip
    if parts is None:
        return None
    return (
        f"{' and '.join(parts)} with a class or a number as the answer were made to evaluate models; write a question and the "
        "answer in words under prompt and completion to train on them"
    )


def _jq(program: str) -> str:
    return f"jq -c '{program}' OLD.jsonl > NEW.jsonl"


_KNOWN: tuple[Callable[[Row], str | None], ...] = (
    _exam,
    _truth,
    _steps,
    _moss,
    _tree,
    _passages,
    _exported,
    _logged,
    _translation,
    _classes,
)
