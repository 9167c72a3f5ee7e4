"""The results of evaluations, and the classes of rows."""

from launcher.protocol.codec import Message, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseComparison(Message):
    """The base model and the trained one on the same rows."""

    run: str
    """name/date_time."""
    data: str
    """Absolute path of the data file."""
    rows: int
    """Rows that were evaluated."""
    left_out: int
    """Rows that were left out because they have no trained token."""
    tokens: int
    """Trained tokens of these rows, over which the loss is a mean."""
    questions: int | None
    """Chats whose last answer was generated for exact_match; null without that metric."""
    base: dict[str, float | None]
    """Metrics of the base model: loss, perplexity, exact_match (a share); null where no row has a question and an answer."""
    tuned: dict[str, float | None]
    """The same metrics of the trained model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """How well the model tells one class."""

    label: str
    """The class."""
    rows: int
    """Rows that have it."""
    answered: int
    """Rows for which the model answers it."""
    right: int
    """Rows that have it and for which the model answers it."""
    precision: float | None
    """right / answered; null if it is never answered."""
    recall: float | None
    """right / rows; null if no row has it."""
    f1: float | None
    """Harmonic mean of the two; null if both counts are 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusedRow:
    """Rows of one class for which one class is answered."""

    label: str
    """The class that the rows have."""
    answered: str
    """The class that the model answers."""
    rows: int
    """Number of rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Decisions of similar confidence."""

    confidence: float
    """Their mean confidence."""
    right: float
    """The share of them that is right."""
    decisions: int
    """Their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierScores(Message):
    """A classifier, and the constant answer that needs no model, on the same rows."""

    run: str
    """name/date_time."""
    data: str
    """Absolute path of the data file."""
    rows: int
    """Rows that were evaluated."""
    cut: int
    """Rows that are longer than model.max_length and were read up to it."""
    constant: dict[str, float]
    """Metrics of a model that knows only how often each class occurs in the training rows, and always answers the same: loss,
    accuracy, macro_f1, micro_f1 (several classes to a row only) and calibration_error."""
    constant_label: str | None
    """That answer; null with several classes to a row."""
    tuned: dict[str, float]
    """The same metrics of the trained model."""
    classes: tuple[ClassScore, ...]
    """Each class."""
    confusion: tuple[ConfusedRow, ...]
    """The pairs that occur; empty with several classes to a row."""
    calibration: tuple[CalibrationBin, ...]
    """The bins of the confidence that are not empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedRow:
    """A row and the classes that the model gives it."""

    line: int
    """Its line in the file, or its number among the lines of text, from 1."""
    labels: tuple[str, ...]
    """Its class; with trainer.multi_label the classes whose probability is at least --threshold, the likeliest first."""
    probabilities: dict[str, float]
    """The probability of every class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedChunk(Message):
    """The next rows that are sorted, in their order."""

    rows: tuple[SortedRow, ...]
    """At most 512 rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SortingDone(Message):
    """The result of SortTexts, after the last SortedChunk."""

    rows: int
    """All rows."""
    cut: int
    """Rows that are longer than model.max_length and were read up to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScore:
    """One metric of a task, or of a group of tasks."""

    task: str
    """The task or the group."""
    metric: str
    """The metric, as the task names it."""
    filter: str
    """How the answer was taken out of the generated text; none for a metric without that."""
    tuned: float
    """The value of the trained model."""
    tuned_stderr: float | None
    """Its standard error; null if lm-eval gives none."""
    base: float | None
    """The value of the base model; null with --no-base."""
    base_stderr: float | None
    """Its standard error."""
    higher_is_better: bool | None
    """Whether a higher value is better; null if the task does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRows:
    """The documents of a task."""

    task: str
    """Its name."""
    rows: int
    """Documents that were evaluated."""
    few_shot: int
    """Solved examples in front of each."""
    version: str
    """The version that the task gives itself."""
    in_training: int | None = None
    """Documents that share 13 consecutive words with a training row; null if the training data was not compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksScored(Message):
    """The result of ScoreOnTasks."""

    scores: tuple[TaskScore, ...]
    """Every metric."""
    tasks: tuple[TaskRows, ...]
    """Every task, not yet compared with the training data."""
    texts: dict[str, tuple[str, ...]]
    """Task -> question and answer of each document that was evaluated."""
    lm_eval: str
    """The version of lm-eval."""


SCORES = (BaseComparison, ClassifierScores, SortedChunk, SortingDone, TasksScored)
