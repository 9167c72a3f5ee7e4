"""The rules for a data file, by name: the reason for each, and whether a violation stops a launch."""

from dataclasses import dataclass
from typing import TypedDict

from launcher.errors import unknown

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, slots=True)
class RuleText:
    """The severity of a violation, and the reason for the rule."""

    level: str
    """error: stops a launch. warning: is printed, and the launch continues."""
    reason: str


RULES = {
    "not_utf8": RuleText(
        ERROR, "a text that is not UTF-8 cannot be tokenized; half a surrogate pair cannot either"
    ),
    "nul_bytes": RuleText(ERROR, "NUL characters are left in a file by a crash; they are not text"),
    "duplicate_key": RuleText(ERROR, "of two values under the same key only one could be read"),
    "not_json": RuleText(ERROR, "a row is one JSON object: on one line, or an item of one array"),
    "not_object": RuleText(ERROR, "a row is a JSON object with named values"),
    "no_rows": RuleText(ERROR, "an empty file trains nothing"),
    "format": RuleText(
        ERROR,
        "a row is of one known format, and all rows of a file are of one kind: chats, pairs, texts, ...",
    ),
    "unknown_key": RuleText(
        ERROR, "an unknown key is most often a misspelt one, and would be ignored silently"
    ),
    "type": RuleText(ERROR, "a value of the wrong type would be rendered as text that nobody intended"),
    "role": RuleText(ERROR, "chat templates know only the roles system, user, assistant and tool"),
    "role_order": RuleText(
        ERROR,
        "the system turn is first, then user and assistant alternate, the assistant is last; a tool turn follows its call",
    ),
    "empty": RuleText(ERROR, "an empty turn teaches the model to say nothing"),
    "weight": RuleText(ERROR, "weight says whether an assistant turn is trained on: 0 or 1"),
    "label": RuleText(ERROR, "label says whether the answer is good: true or false"),
    "class": RuleText(
        ERROR, "a label names the class of a text: a word or a whole number, or a list of them"
    ),
    "one_class": RuleText(ERROR, "a classifier needs rows of at least two classes"),
    "tool_call": RuleText(ERROR, "a tool call names its function, and its arguments are an object"),
    "template": RuleText(
        ERROR, "a chat that the model's chat template refuses, or fails on, cannot be trained on"
    ),
    "not_rendered": RuleText(
        WARNING, "what the model's chat template does not write is neither read nor learnt"
    ),
    "no_end": RuleText(WARNING, "an answer without an end token teaches the model not to stop"),
    "merged_start": RuleText(
        WARNING,
        "one token holds the start of an answer and the end of the text before it, so no prompt can end just before the answer",
    ),
    "assistant_first": RuleText(WARNING, "an assistant turn before the first question answers nobody"),
    "control_token": RuleText(
        WARNING, "a control token within a text ends the turn, or the text, for the model"
    ),
    "answer_cut": RuleText(
        WARNING, "a row whose answers lie beyond model.max_length has nothing to train on"
    ),
    "chat_as_text": RuleText(
        WARNING,
        "a chat as plain text trains the questions too, without the form that the model's chat template gives",
    ),
    "turn_as_row": RuleText(
        WARNING,
        "if each turn is a row of its own, answers are learnt without their questions, and the questions are learnt too",
    ),
    "garbled": RuleText(WARNING, "characters that a conversion has destroyed are learnt as they are"),
    "secret": RuleText(
        WARNING, "a key or a token in a row is learnt, and whoever asks the model can be told it"
    ),
    "same_answer": RuleText(
        WARNING,
        "if most chats end with one answer, a model that always gives it is right most of the time and has learnt nothing",
    ),
    "list_as_text": RuleText(
        WARNING, "an answer that looks like a printed list was most often a list before the table was written"
    ),
    "tool_result": RuleText(
        WARNING, "a call of an undeclared tool, or without its result, teaches calls that cannot work"
    ),
    "one_label": RuleText(WARNING, "if all answers have the same label, there is nothing to compare"),
    "class_balance": RuleText(
        WARNING,
        "if one class has most of the rows, a model that always answers it is right most of the time and has learnt nothing",
    ),
    "two_labels": RuleText(
        WARNING, "the same text with two labels cannot be learnt, and one of them is wrong"
    ),
    "unseen_label": RuleText(
        WARNING, "a class that no training row has is never answered; a launch refuses it"
    ),
    "untested_label": RuleText(WARNING, "a class without evaluation rows is in no metric"),
    "same_file": RuleText(WARNING, "an evaluation on the training file measures memorization"),
    "no_answer": RuleText(ERROR, "without an assistant turn there is nothing to train on"),
    "nothing_trained": RuleText(ERROR, "0 % of the tokens are trained on, so no step has a loss"),
    "everything_trained": RuleText(
        ERROR, "100 % of the tokens are trained on: the chats hold no question to answer"
    ),
    "untrained_row": RuleText(
        WARNING, "a chat whose assistant turns all have weight 0 costs time and teaches nothing"
    ),
    "same_pair": RuleText(WARNING, "a pair whose chosen and rejected answers are the same has no preference"),
    "duplicate": RuleText(WARNING, "a row that occurs twice counts twice, and the model memorizes it"),
    "near_duplicate": RuleText(
        WARNING, "a row that differs from another one in a few words counts almost twice"
    ),
    "eval_exact": RuleText(WARNING, "an evaluation row that is trained on measures memorization"),
    "eval_overlap": RuleText(
        WARNING, "13 consecutive words also occur in the training data: the answer may be memorized"
    ),
    "task_overlap": RuleText(
        WARNING,
        "if a training row shares 13 words with a document of a benchmark, the score of the benchmark measures memorization",
    ),
    "too_many_bad": RuleText(
        ERROR, "if many rows are invalid, most often the whole file is read in the wrong way"
    ),
    "left_out": RuleText(WARNING, "data.on_bad_row=skip leaves an invalid row out of the training"),
    "dropped_keys": RuleText(
        WARNING,
        "keys that the rows' format does not have are not read; data.drop or data.keep says that this is intended",
    ),
    "lost_nulls": RuleText(
        WARNING, "in a table, every call has the arguments of all calls, with null for those that it lacks"
    ),
    "turns_as_text": RuleText(
        WARNING, "a list of turns that arrived as text was read as the list; check that it is complete"
    ),
    "truncated": RuleText(WARNING, "tokens beyond model.max_length are cut off, often the end of the answer"),
    "mixed_formats": RuleText(WARNING, "several formats in one file are often the result of a faulty join"),
    "mixed_systems": RuleText(WARNING, "rows with and without a system prompt teach two behaviours"),
    "size": RuleText(
        WARNING, "with fewer than 50 rows, a prompt with examples works better than a fine-tune"
    ),
    "unchecked": RuleText(WARNING, "data that cannot be read here is not checked before the job starts"),
}


class _Placed(TypedDict, total=False):
    file: str
    """The file, where there are several."""
    unit: str
    """row, where `line` counts rows: in Parquet and Arrow files, and in JSON whose rows share a line."""


class FindingRow(_Placed):
    """One violation of a rule of the data check."""

    level: str
    """error: stops a launch; warning: is printed, and the launch continues."""
    rule: str
    """The rule's name; `data rules` lists them."""
    line: int | None
    """Physical line, from 1, or the row's number, from 1, if `unit` says so; null for the whole file."""
    message: str
    """What is wrong, and the way out."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation of a rule."""

    rule: str
    line: int | None
    """Physical line, or the row's number, from 1; None for the whole file."""
    message: str
    file: str | None = None
    """The file, if there are several."""
    unit: str = "line"
    """What `line` counts: line or row."""

    @property
    def level(self) -> str:
        """error or warning."""
        return RULES[self.rule].level

    def to_dict(self) -> FindingRow:
        """The finding as plain JSON values."""
        row: FindingRow = {"level": self.level, "rule": self.rule, "line": self.line, "message": self.message}
        if self.unit != "line":
            row["unit"] = self.unit
        return row if self.file is None else {**row, "file": self.file}


def said_line(finding: FindingRow) -> str:
    """What follows the name of the file in a message: `, line 7` or `, row 7`; empty for the whole file."""
    return "" if finding["line"] is None else f", {finding.get('unit', 'line')} {finding['line']}"


class BrokenRow(Exception):
    """A row that breaks a rule; the reader of the file adds the line."""

    def __init__(self, rule: str, message: str, whole: bool = False) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
        self.whole = whole
        """Whether the rest of the file cannot be read because of it, so that leaving out one row does not help."""

    def __reduce__(self) -> tuple[type["BrokenRow"], tuple[str, str, bool]]:
        return BrokenRow, (self.rule, self.message, self.whole)  # faults travel between processes


def check_known(kind: str, name: str, known: tuple[str, ...]) -> None:
    """BrokenRow `unknown_key` if the key is not in `known`."""
    if name not in known:
        raise BrokenRow("unknown_key", unknown(kind, name, known))
