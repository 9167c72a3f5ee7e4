"""The rules of a data file, by name: what they say, and whether breaking one stops a launch."""

from dataclasses import dataclass

from launcher.errors import unknown

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """How bad it is to break a rule, and why there is one."""

    level: str
    """error: stops a launch. warning: is printed and kept."""
    reason: str


RULES = {
    "not_utf8": Rule(
        ERROR, "a text that is not UTF-8 cannot be tokenized; half a surrogate pair cannot either"
    ),
    "not_json": Rule(ERROR, "a row is one JSON object: on one line, or an item of one array"),
    "not_object": Rule(ERROR, "a row is a JSON object with named values"),
    "no_rows": Rule(ERROR, "an empty file trains nothing"),
    "format": Rule(
        ERROR,
        "a row is of one known format, and all rows of a file are of one kind: chats, pairs, texts, ...",
    ),
    "unknown_key": Rule(
        ERROR, "a key that no format has is most often a misspelt one, and would be left out unseen"
    ),
    "type": Rule(ERROR, "a value of another type than the format's is rendered as something nobody meant"),
    "role": Rule(ERROR, "a chat template knows the roles system, user, assistant and tool alone"),
    "role_order": Rule(
        ERROR, "system first, then user and assistant in turn, the assistant last; tool after its call"
    ),
    "empty": Rule(ERROR, "an empty turn teaches to say nothing"),
    "weight": Rule(ERROR, "weight is 0 or 1, of an assistant turn: whether it is trained on"),
    "label": Rule(ERROR, "label is true or false: whether the answer is a good one"),
    "tool_call": Rule(ERROR, "a tool call names its function, and its arguments are an object"),
    "no_answer": Rule(ERROR, "without an assistant turn there is nothing to train on"),
    "nothing_trained": Rule(ERROR, "0 % of the tokens are trained on: every step has a loss of nothing"),
    "everything_trained": Rule(
        ERROR, "100 % of the tokens are trained on: the chats hold no question to answer"
    ),
    "untrained_row": Rule(
        WARNING, "a chat whose assistant turns all have weight 0 costs time and teaches nothing"
    ),
    "same_pair": Rule(WARNING, "a pair whose chosen and rejected answers are the same has no preference"),
    "duplicate": Rule(WARNING, "a row seen twice counts twice, and is learnt by heart"),
    "near_duplicate": Rule(WARNING, "a row that differs in a few words from another counts almost twice"),
    "eval_exact": Rule(WARNING, "an evaluation row that is trained on measures memory"),
    "eval_overlap": Rule(
        WARNING, "13 words in a row in common with training data: the answer may be known by heart"
    ),
    "truncated": Rule(WARNING, "what lies behind model.max_length is cut off, often the end of the answer"),
    "mixed_formats": Rule(WARNING, "rows of several formats in one file are often a join that went wrong"),
    "mixed_systems": Rule(WARNING, "rows with and without a system prompt teach two behaviours"),
    "size": Rule(WARNING, "below 50 rows a prompt with examples does better than a fine-tune"),
    "unchecked": Rule(WARNING, "what cannot be read here is checked by nobody before the job starts"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of a rule."""

    rule: str
    line: int | None
    """Physical line, from 1; in a Parquet file the row, from 1; None for the whole file."""
    message: str

    @property
    def level(self) -> str:
        """error or warning."""
        return RULES[self.rule].level

    def to_dict(self) -> dict[str, str | int | None]:
        """The finding as plain JSON values."""
        return {"level": self.level, "rule": self.rule, "line": self.line, "message": self.message}


class BrokenRow(Exception):
    """A row that breaks a rule; the reader of the file adds the line."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message


def check_known(kind: str, name: str, known: tuple[str, ...]) -> None:
    """BrokenRow `unknown_key` for a key outside of `known`."""
    if name not in known:
        raise BrokenRow("unknown_key", unknown(kind, name, known))
