"""Events about checkpoints: saved, damaged, resumed from. The ranks write them."""

from collections.abc import Sequence

from launcher.run.events.base import Event


class Resumed(Event):
    """Training continues from a checkpoint.

    Written by: rank 0, once the checkpoint is loaded.
    """

    step: int
    """The step of the checkpoint."""
    checkpoint: str | None = None
    """Its folder."""
    weights_only: bool = False
    """Whether only the weights were loaded, so that training begins at step 0."""
    new_optimizer: bool = False
    """Whether the optimizer starts without state, because its state was not requested or the checkpoint has none."""


class Stepping(Event):
    """The first step of the attempt is done.

    Written by: rank 0.
    """

    step: int
    """The step."""
    restart_s: float
    """Seconds from the start of the attempt to the end of this step."""


class Interval(Event):
    """A new automatic interval between checkpoints, by what was measured.

    Written by: rank 0, when the interval changed by more than a tenth.
    """

    steps: int
    """Steps between two checkpoints."""
    interval_s: float | None = None
    """Seconds between two checkpoints, by Daly's formula."""
    step_s: float | None = None
    """Median seconds of a step."""
    save_s: float | None = None
    """Median seconds for which a save stops training."""
    restart_s: float | None = None
    """Seconds from the start of an attempt to its first step."""


class Saved(Event):
    """A checkpoint is committed: complete on disk.

    Written by: rank 0.
    """

    step: int
    """The step after which it was taken."""
    checkpoint: str | None = None
    """The name of its folder under checkpoints/."""
    why: str | None = None
    """interval, end, best, early stop, told (before a shutdown), or what a plugin set as the reason."""
    bytes: int | None = None
    """Bytes of all its files."""
    blocked_s: float = 0.0
    """Seconds for which training waited."""
    total_s: float | None = None
    """Seconds from the start of the save until it was committed."""


class SaveFailed(Event):
    """A checkpoint could not be written; training continued.

    Written by: rank 0.
    """

    step: int
    """The step that was to be saved."""
    error: str
    """Why, with the rank that failed."""
    in_a_row: int | None = None
    """Failures since the newest checkpoint that was committed."""


class NotDeleted(Event):
    """Old checkpoints could not be deleted.

    Written by: rank 0.
    """

    step: int
    """The step whose checkpoint was just committed."""
    error: str
    """Why."""


class Removed(Event):
    """Leftovers of saves that were never committed were deleted.

    Written by: rank 0, before it looks for a checkpoint.
    """

    leftovers: Sequence[str]
    """The names of the folders."""


class CheckpointBroken(Event):
    """A checkpoint is torn or damaged, and the one before it is used instead.

    Written by: rank 0.
    """

    reason: str
    """What is wrong with it."""
    checkpoint: str | None = None
    """Its folder."""
