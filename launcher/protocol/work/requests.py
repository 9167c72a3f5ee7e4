"""What a command requests: the first line that the process reads. Only chats, a server and texts to sort send more."""

from typing import Any, ClassVar

from launcher.protocol.codec import Message, dataclass, kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkRequest(Message):
    """The base of all requests."""

    verb: ClassVar[str]
    """The verb of the command line that makes the request, for errors."""

    def opened_run(self) -> str:
        """Path of the run whose model is opened, with the modules of its plugins; empty if it is none of a run."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnRun(WorkRequest):
    """The base of requests about the trained model of a run."""

    run_dir: str
    """Absolute path of the run dir."""
    checkpoint: str | None
    """Absolute path of the checkpoint whose weights are opened; None for the finished model."""

    def opened_run(self) -> str:
        """That run."""
        return self.run_dir


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeExport(OnRun):
    """Write the adapter or the model into a folder. Answer: ExportDone."""

    verb = "export"
    to: str
    """Absolute path of the folder."""
    merged: bool
    """Write the adapter and its base as one model."""
    dtype: str | None
    """Number format of the weights: bf16, fp16 or fp32; None: as they were trained."""
    force: bool
    """Overwrite an export in that folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeGguf(OnRun):
    """Write the model as a GGUF file. Answer: ExportedGguf."""

    verb = "export"
    to: str
    """Absolute path of the folder of the file."""
    type: str
    """Type of the values in the file, such as f16 or q4_k_m."""
    converter: tuple[str, ...]
    """Command of llama.cpp's converter."""
    quantizer: str | None
    """Command of llama-quantize; None for a type that the converter writes itself."""
    force: bool
    """Overwrite an export in that folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareWithBase(OnRun):
    """Evaluate the trained model and its base on a data file. Answer: BaseComparison."""

    verb = "evaluate"
    data: str
    """Absolute path of the file."""
    max_rows: int | None
    """Only so many of its first rows; None: all."""
    metrics: tuple[str, ...]
    """Some of loss and exact_match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreClassifier(OnRun):
    """Evaluate a classifier on a file with labels. Answer: ClassifierScores."""

    verb = "evaluate"
    data: str
    """Absolute path of the file."""
    max_rows: int | None
    """Only so many of its first rows; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOnTasks(OnRun):
    """Evaluate the trained model on tasks of lm-evaluation-harness. Answer: TasksScored."""

    verb = "evaluate"
    tasks: tuple[str, ...]
    """Names of tasks or groups, and absolute paths of YAML files."""
    base: bool
    """Evaluate the base model as well."""
    chat: bool
    """Render the prompts with the chat template."""
    few_shot: int | None
    """Solved examples before each document; None: as each task says."""
    max_rows: int | None
    """Only so many documents of each task; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """The model that answers: one of a run, or the one in an exported folder."""

    run_dir: str
    """Absolute path of the run dir; empty for a folder."""
    folder: str | None
    """Absolute path of the exported folder; None for a run."""
    checkpoint: str | None
    """Absolute path of the run's checkpoint whose weights are opened; None for the finished model."""
    base: bool
    """The base model of the run instead of the trained one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnModel(WorkRequest):
    """The base of requests to a model that stays loaded. Answers: WorkProgress, then ModelReady, then those of each kind."""

    model: ModelChoice
    """The model that is loaded."""

    def opened_run(self) -> str:
        """The model's run."""
        return self.model.run_dir


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChat(OnModel):
    """Answer the chats that follow, each an AskChat. Answers: AnswerPiece and AnswerDone."""

    verb = "chat"
    max_new_tokens: int
    """Most tokens of an answer."""
    temperature: float
    """Temperature of sampling; 0 always takes the most likely token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeModel(OnModel):
    """Answer the requests that follow, each a ServedChat, which a CancelAnswer ends early.

    Answers to each: PromptRefused or AnswerFailed; or PromptAccepted, AnswerPiece and AnswerDone.
    """

    verb = "serve"
    max_new_tokens: int
    """Most tokens of an answer to a request that does not say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SortTexts(OnModel):
    """Give the classes of rows. Answers: SortedChunk, and in the end SortingDone."""

    verb = "classify"
    data: str | None
    """Absolute path of a file of rows; None for the texts that follow, each a TextToSort."""
    threshold: float
    """Least probability of a class that a row gets, if a row can have several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnData(WorkRequest):
    """The base of requests about the data of a run that does not exist yet."""

    config: str
    """Its configuration, as the text of a config.yaml."""
    facts: dict[str, Any]
    """The `facts` of its plan.json."""
    workers: int
    """Processes that make tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeTokens(OnData):
    """Find or make the tokens of the data. Answer: Tokenized."""

    verb = "data tokenize"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTeacher(OnData):
    """Find or make a teacher's predictions for the data. Answer: TaughtFolder."""

    verb = "data teach"
    top_k: int
    """Most likely next tokens that are stored at each token."""
    micro_batch_size: int
    """Rows that the teacher reads at once."""


REQUESTS = kinds(
    MakeExport,
    MakeGguf,
    CompareWithBase,
    ScoreClassifier,
    ScoreOnTasks,
    OpenChat,
    ServeModel,
    SortTexts,
    MakeTokens,
    StoreTeacher,
)
"""What the process accepts as its first line."""
