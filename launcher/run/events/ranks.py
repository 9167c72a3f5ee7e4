"""Events that the ranks write while they load and train; the results of the training are in the module results."""

from collections.abc import Mapping, Sequence

from launcher.run.events.base import Event


class Crashed(Event):
    """A rank failed.

    Written by: each rank that fails with an error; a rank that is killed cannot.
    """

    host: str
    """The rank's host."""
    rank: int
    """The rank, counted over all nodes."""
    error: str
    """The error's type and message, cut at 2,000 characters."""
    traceback: Sequence[str] = ()
    """The last lines of its traceback; empty for an error that explains itself."""

    @property
    def told(self) -> str:
        """The error with its host and rank, in a line."""
        return f"rank {self.rank} on {self.host}: {self.error}"


class Base(Event):
    """The base model came from a hub, at this commit.

    Written by: rank 0, once the model is loaded.
    """

    commit: str
    """The commit that was loaded."""
    model: str | None = None
    """The model's id on the hub."""
    revision: str | None = None
    """The requested branch, tag or commit."""


class CopiedToNode(Event):
    """The model or the tokens were copied to a node's own disk (cluster.node_cache).

    Written by: the process of that node that copied them.
    """

    host: str
    """The node."""
    what: str
    """model or tokens."""
    folder: str
    """The copy."""
    gib: float = 0.0
    """Its size, in GiB."""
    seconds: float = 0.0
    """Seconds that it took."""


class Tokenizing(Event):
    """The data is being tokenized, because no cached tokens fit.

    Written by: rank 0.
    """

    set: str
    """train or eval."""
    key: str | None = None
    """The name of the cache folder that will hold the tokens."""


class Data(Event):
    """The tokens of a data set are ready to be read by all ranks.

    Written by: rank 0.
    """

    set: str
    """train or eval."""
    folder: str | None = None
    """The cache folder that holds the tokens."""
    tokenized: bool | None = None
    """Whether this attempt made them; false if they came from the cache."""
    seconds: float | None = None
    """How long it took until they were ready."""
    rows: int | None = None
    """Sequences, after packing."""
    documents: int | None = None
    """Texts in these sequences: examples, and each part of an example that was split."""
    tokens: int | None = None
    """Tokens of all sequences."""
    trained_tokens: int | None = None
    """Tokens that the loss counts."""
    longest: int | None = None
    """Tokens of the longest sequence."""
    filled: float | None = None
    """Share of tokens, as opposed to padding, if all sequences are padded to the longest."""
    examples: int | None = None
    """Examples that were read."""
    left_out: int | None = None
    """Examples that were left out, because no token that is trained on lies within model.max_length."""
    cut: int | None = None
    """Examples that were cut at the end."""
    split: int | None = None
    """Plain texts that became several sequences."""
    lengths: Mapping[str, int] | None = None
    """Examples by their length in tokens before the cut."""


class Tracking(Event):
    """An experiment tracker was started, or lost some of what was logged.

    Written by: rank 0.
    """

    tracker: str
    """Its name."""
    mode: str | None = None
    """online, offline or failed, as the tracker's module says."""
    why: str | None = None
    """Why it is offline or failed; None if it is online."""
    id: str | None = None
    """The run's id at the tracker, the same in all attempts."""
    group: str | None = None
    """The sweep that the run is a trial of."""


class Training(Event):
    """Training begins, after model and data are loaded.

    Written by: rank 0.
    """

    step: int
    """Steps that are done: 0, or the step of the checkpoint."""
    total_steps: int
    """Steps that the run will have done at its end."""


class Measured(Event):
    """What the ranks measured of themselves.

    Written by: rank 0, after 10 steps of an attempt and at its end.
    """

    step: int
    """The step after which it was measured."""
    step_s: float
    """Median seconds of a step, of the slowest rank."""
    host_gib_by_rank: Sequence[float]
    """Peak GiB of each rank's process in the host's memory."""
    steps: int | None = None
    """Steps that were measured."""
    peak_gib: float | None = None
    """Peak GiB of tensors on a GPU while it trained, of the fullest one; None on CPUs."""
    peak_gib_by_rank: Sequence[float] | None = None
    """The same for each rank."""
    load_gib: float | None = None
    """Peak GiB of tensors on a GPU before the first step, while the model was loaded and wrapped, of the fullest one."""
    reserved_gib: float | None = None
    """Peak GiB that torch reserved on a GPU, of the fullest one."""
    context_gib: float | None = None
    """Peak GiB in use on a GPU in addition to what torch reserved."""
    link_gb_s: float | None = None
    """GB/s (10^9 bytes) that a rank sends in an all-reduce over all ranks; None for one rank, or when not measured yet."""


class Working(Event):
    """Work other than a training step begins, which can take long.

    Written by: rank 0.
    """

    on: str
    """load (the model), evaluate, answer (trainer.sample_prompt) or export."""


class RewardFailed(Event):
    """A reward function failed in this way for the first time in this attempt; metrics.jsonl counts all answers.

    Written by: rank 0.
    """

    step: int
    """Steps that are done."""
    function: str
    """Its module and name."""
    why: str
    """timeout, raised, died (its process), nan (or infinite), wrong (not a list of a value per answer); alone: it failed for
    the answers of a rank together, and not for each of them alone."""
    answers: int
    """Answers for which it failed in this step, over all ranks."""


class Diverged(Event):
    """The loss or the gradient norm is NaN or infinite, or the loss jumped; the attempt ends and its batches are left out.

    Written by: rank 0.
    """

    step: int
    """The step at which it was seen."""
    batches: Sequence[int] = ()
    """The batches since the previous log line, which later attempts leave out."""
    why: str = ""
    """What was seen."""


class EarlyStopped(Event):
    """Training ends early because a metric no longer improved.

    Written by: rank 0, for the plugin early_stopping.
    """

    step: int
    """The step at which training ends."""
    metric: str
    """The metric that was watched."""
    best: float | None
    """Its best value; None if it was never finite."""
    best_step: int | None
    """The step of the best value."""
    patience: int
    """Evaluations without a better value after which training ends."""
    threshold: float | None = None
    """A change that is smaller does not count as better."""


class Restored(Event):
    """The weights of an earlier step replaced the last ones.

    Written by: rank 0, for the plugin early_stopping.
    """

    step: int
    """The step whose weights are exported."""
    why: str = ""
    """Why it was chosen."""


class Length(Event):
    """How long the run is: its optimizer steps, and the rows from which they follow.

    Written by: rank 0, before the first step.
    """

    steps: int
    """Optimizer steps of the whole run."""
    warmup_steps: int | None = None
    """Steps of linear warm-up."""
    samples: int | None = None
    """Training rows that the ranks have counted."""
    planned_rows: int | None = None
    """Training rows that the plan has counted; None if it could not."""
    epochs: float | None = None
    """Passes over the training data."""
    decided_by: str | None = None
    """max_steps, rows or ranks: what the number of steps is derived from."""
