"""The tree of errors and the one table of exit codes."""

import difflib
import errno
from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """What a process of this project says by its exit code."""

    OK = 0
    """Finished, or done what was asked."""
    REFUSED = 1
    """Bad input; nothing was queued and nothing existing was touched."""
    USAGE = 2
    """A command line that no command understands."""
    FAILED = 3
    """The run was started and ended in an error; the logs say which."""
    NOT_AS_PLANNED = 4
    """A rank found another world size, device, strategy or precision than planned; a restart cannot help."""
    PORT_TAKEN = 5
    """The rendezvous port was taken between choice and use; the supervisor tries another."""
    SAVE_FAILED = 6
    """Two checkpoints in a row could not be written; a restart would fail to save too."""
    ALREADY_RUNNING = 7
    """Another job holds the lease of this run dir; this one ended without writing."""
    OUT_OF_MEMORY = 8
    """A GPU had too little memory; a restart would need the same."""
    NO_PROGRESS = 9
    """Several attempts in a row ended without a new checkpoint; the run is not queued again."""
    DIVERGED = 10
    """The loss or the gradient norm is NaN or infinite, or the loss has a spike; the run was rolled back twice already."""
    FORGOT = 11
    """The perplexity on general text rose above plugins.forgetting_guard.max_increase; the newest checkpoint is from before."""
    MOVED = 12
    """`stale`: the base model has another revision on the hub now."""
    CANNOT_TELL = 13
    """`stale`: whether it has cannot be told from here."""
    FETCH_FAILED = 14
    """The model or the data is not in the cache, and the hub does not provide it; a restart would find the same."""
    SHUT_DOWN = 74
    """The rank was told to shut down, and has saved."""
    PRUNED = 73
    """A sweep's pruner ended the run early: nothing failed, and nothing is queued again."""
    REQUEUED = 75
    """Saved, and queued again: the run goes on in another allocation."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""
    PIPE_CLOSED = 141
    """Whoever read its output left before the end; a command that only shows has lost nothing."""
    TERMINATED = 143
    """Ended by SIGTERM: a cancel, a pre-emption or the time limit."""


DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""What an OSError says where nothing can be written, be it a checkpoint, a metric or a line of a log."""


class LauncherError(Exception):
    """Anything that ends in one line on stderr and no traceback."""

    exit_code: Exit = Exit.REFUSED


class UsageError(LauncherError):
    """A command line that no command understands."""

    exit_code: Exit = Exit.USAGE


class ConfigError(LauncherError):
    """A key or value of the configuration is wrong."""


class PlanError(LauncherError):
    """The configuration is well formed but cannot be launched as asked."""


class ClusterError(LauncherError):
    """The place where the run should go is not there, or refused it."""


class RunError(LauncherError):
    """No such run, or its run dir is not what it should be."""


class DataError(LauncherError):
    """A data file is not what its format says."""


class CheckpointError(LauncherError):
    """A checkpoint is broken, or does not belong to the run that should go on from it."""

    exit_code: Exit = Exit.FAILED


class SaveFailed(LauncherError):
    """Checkpoints cannot be written any more."""

    exit_code: Exit = Exit.SAVE_FAILED


class Diverged(LauncherError):
    """The loss or the gradient norm is NaN or infinite, or the loss has a spike."""

    exit_code: Exit = Exit.DIVERGED


class Forgot(LauncherError):
    """More was forgotten than allowed."""

    exit_code: Exit = Exit.FORGOT


class AlreadyRunning(LauncherError):
    """Another job writes the run dir."""

    exit_code: Exit = Exit.ALREADY_RUNNING


class FetchFailed(LauncherError):
    """The model or the data is neither in the cache nor to be had from the hub."""

    exit_code: Exit = Exit.FETCH_FAILED


class NotAsPlanned(LauncherError):
    """What a node finds is not what the plan says."""

    exit_code = Exit.NOT_AS_PLANNED


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None where nothing is like it."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """One sentence for an unknown name: the nearest known one and, where they are few, all of them."""
    names = sorted(known)
    close = nearest(name, names)
    hint = f"; did you mean {close}?" if close else ""
    listed = f" Known: {', '.join(names)}." if len(names) <= 40 else ""
    return f"unknown {kind} '{name}'{hint or '.'}{listed}"
