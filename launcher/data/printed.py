"""What the verbs of data files print under --json; data_check.json of a run dir holds the same report for each file."""

from typing import TypedDict

from launcher.data.findings import FindingRow


class Systems(TypedDict):
    """The system prompts of a data file."""

    different: int
    """How many different ones there are."""
    rows_with: int
    """Rows with a system prompt."""
    rows_without: int
    """Rows without one."""
    most_common: list[tuple[str, int]]
    """The three most frequent ones, by their beginning, each with its number of rows."""


class ClassRow(TypedDict):
    """One class of a data file."""

    label: str
    """Its name."""
    rows: int
    """Rows that have it."""
    first: str
    """File and line of the first of them."""


class ClassCounts(TypedDict):
    """The classes of the rows of a data file."""

    rows: int
    """Rows with a label."""
    labels: list[ClassRow]
    """The classes, by name."""
    chats: int
    """Rows that are chats, not texts."""
    several: int
    """Rows with several classes, or with none."""
    first_several: str | None
    """File and line of the first of them; null if there is none."""


class Overlap(TypedDict):
    """The evaluation file, and what it shares with the training file."""

    path: str
    """As given."""
    rows: int
    """Its rows."""
    kinds: dict[str, int]
    """Rows by kind: chat, pair, text, ..."""
    exact: int
    """Rows that are also training rows."""
    overlap: int
    """Further rows that share 13 consecutive words with a training row."""
    classes: ClassCounts | None
    """Its classes; null if its rows have no labels."""


class TaskOverlap(TypedDict):
    """The documents of a benchmark task, and how many of them the training file shares words with."""

    task: str
    """Its name."""
    path: str
    """The task's YAML file or the file of its documents, as given."""
    documents: int
    """Its documents."""
    in_training: int
    """Documents that share 13 consecutive words with a training row."""
    matched_on: str
    """What of a document was compared: question and answer, or every text."""


class _Tokens(TypedDict):
    basis: str
    """counted by the model's tokenizer, on how many examples; or estimated, and from what."""
    examples: int
    """Examples that were counted."""
    max_length: int
    """Tokens that are kept of a row."""
    histogram: dict[str, int]
    """Examples by length in tokens; the names of the buckets are as in `<=512`."""
    truncated: int
    """Examples that are longer than max_length."""
    truncated_share: float
    """Their share of the examples."""
    trained_share: float
    """Share of the tokens that are trained on."""


class Tokens(_Tokens, total=False):
    """The lengths of the rows in tokens."""

    tokens_cut_share: float
    """Share of the tokens that are cut off, where the tokens were counted."""
    split: int
    """Plain texts that are split into several examples."""
    left_out: int
    """Examples that are left out because no answer begins within max_length, where the tokens were counted."""


class Used(TypedDict):
    """Which rows of a data file are used."""

    train: int
    """Rows that are trained on."""
    held_out: int | None
    """Rows that are held out for evaluation; null without data.eval_fraction."""
    groups: int | None
    """Groups of rows that stay on one side; null without data.eval_fraction."""
    largest: int | None
    """Rows of the largest group; null without data.eval_fraction."""
    values: int | None
    """Different values of data.eval_group; null without it."""
    joined: int | None
    """How many of these values stay on one side with another one, because their rows are copies of each other; null without
    data.eval_group."""


class DataReport(TypedDict):
    """The faults and the contents of a data file."""

    verdict: str
    """ok, warning or error; an error stops a launch."""
    rows: int
    """Rows of the file, with those that are broken."""
    findings: list[FindingRow]
    """Violations of the rules, errors first; at most 100 of each rule."""
    errors: int
    """Violations that stop a launch, listed or not."""
    stops: int
    """Faults after which the rest of the file cannot be read; data.on_bad_row=skip does not help against them."""
    counts: dict[str, int]
    """Violations by rule, listed or not."""
    path: str
    """As given."""
    files: int
    """How many files that is."""
    formats: dict[str, int]
    """Rows by format: messages, sharegpt, alpaca, ..."""
    kinds: dict[str, int]
    """Rows by kind: chat, pair, text, ..."""
    systems: Systems
    """The system prompts."""
    classes: ClassCounts | None
    """The classes of its rows; null if they have no labels."""
    refusals: int
    """Answers that refuse or admit not to know."""
    negatives: int
    """Rows with a rejected answer."""
    duplicates: int
    """Rows that occur before in the file."""
    near_duplicates: int
    """Rows that differ from another one in a few words."""
    eval: Overlap | None
    """What it shares with the evaluation file; null without one."""
    tasks: list[TaskOverlap]
    """What it shares with the benchmark tasks that were named."""
    used: Used | None
    """Rows that are trained on and held out; null if all rows are used."""
    tokens: Tokens
    """The lengths in tokens."""
    advice: list[str]
    """Sentences on what to do next."""


class ConvertedData(TypedDict):
    """A data file that was written in another format."""

    path: str
    """The new file."""
    to: str
    """The format of its rows."""
    rows: int
    """Rows that were written."""
    rejected_left_out: int
    """Rejected answers that the format cannot hold and that are left out."""
    invalid_left_out: int
    """Invalid rows that are left out, with data.on_bad_row=skip."""
