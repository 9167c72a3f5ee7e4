"""The error classes and the table of exit codes."""

import errno
from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of all processes of this project."""

    OK = 0
    """The command or the run finished without an error."""
    REFUSED = 1
    """Invalid input; nothing was queued, and no existing run or file was changed."""
    USAGE = 2
    """Invalid command line."""
    FAILED = 3
    """The run started and ended with an error; its logs have the details."""
    NOT_AS_PLANNED = 4
    """A rank found a world size, device, strategy or precision that differs from the plan; a restart cannot help."""
    PORT_TAKEN = 5
    """Another process took the rendezvous port between its choice and its use; the supervisor tries another port."""
    SAVE_FAILED = 6
    """Two checkpoints in a row could not be written; a restart would fail to save too."""
    ALREADY_RUNNING = 7
    """Another job holds the lease of this run dir; this job ended without writing."""
    OUT_OF_MEMORY = 8
    """A GPU ran out of memory; a restart would need the same memory."""
    NO_PROGRESS = 9
    """Several attempts in a row ended without a new checkpoint; the run is not queued again."""
    DIVERGED = 10
    """The loss or the gradient norm is NaN or infinite, or the loss has a spike, after two rollbacks already."""
    FORGOT = 11
    """The perplexity on general text rose above plugins.forgetting_guard.max_increase; the newest checkpoint is from before
    that."""
    MOVED = 12
    """`stale`: the base model now has another revision on the hub."""
    CANNOT_TELL = 13
    """`stale`: it cannot be determined whether the base model has another revision."""
    FETCH_FAILED = 14
    """The model or the data is not in the cache, and the hub does not provide it; a restart would fail in the same way."""
    START_FAILED = 15
    """The command that starts the nodes of a job failed before any node answered; the same command would fail again."""
    SHUT_DOWN = 74
    """The rank was ordered to shut down, and has saved."""
    PRUNED = 73
    """A sweep's pruner ended the run early. It has not failed and is not queued again."""
    REQUEUED = 75
    """The run was saved and queued again; it resumes in another allocation."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""
    PIPE_CLOSED = 141
    """The reader of its output closed the pipe early, as `head` does; a command that only shows something has lost nothing."""
    TERMINATED = 143
    """Ended by SIGTERM: a cancel, a pre-emption or the time limit."""


DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of an OSError that means that no file can be written: the disk is full, or a quota is used up."""


class LauncherError(Exception):
    """An error that is shown as one line on stderr, without a traceback."""

    exit_code: Exit = Exit.REFUSED


class UsageError(LauncherError):
    """Invalid command line."""

    exit_code: Exit = Exit.USAGE


class ConfigError(LauncherError):
    """A key or value of the configuration is invalid."""


class PlanError(LauncherError):
    """The configuration is well formed, but cannot be launched."""


class ClusterError(LauncherError):
    """The cluster on which the run should start is not available, or refused the run."""


class RunError(LauncherError):
    """The run does not exist, or its run dir is invalid."""


class DataError(LauncherError):
    """A data file does not match its format."""


class CheckpointError(LauncherError):
    """A checkpoint is broken, or does not belong to the run that should resume from it."""

    exit_code: Exit = Exit.FAILED


class SaveFailedError(LauncherError):
    """Checkpoints can no longer be written."""

    exit_code: Exit = Exit.SAVE_FAILED


class DivergedError(LauncherError):
    """The loss or the gradient norm is NaN or infinite, or the loss has a spike."""

    exit_code: Exit = Exit.DIVERGED


class Forgot(LauncherError):
    """The perplexity on general text rose by more than allowed."""

    exit_code: Exit = Exit.FORGOT


class RewardError(LauncherError):
    """A reward function could not judge an answer, and no value was chosen for that."""

    exit_code: Exit = Exit.FAILED


class AlreadyRunning(LauncherError):
    """Another job uses the run dir."""

    exit_code: Exit = Exit.ALREADY_RUNNING


class Elsewhere(LauncherError):
    """What the command is about is on a cluster that is reached by ssh; a verb that can run there runs there instead."""


class PackageError(LauncherError):
    """A Python package that the command needs is not installed."""


class FetchFailed(LauncherError):
    """The model or the data is not in the cache, and the hub does not provide it."""

    exit_code: Exit = Exit.FETCH_FAILED


class NotAsPlanned(LauncherError):
    """What a node finds differs from the plan."""

    exit_code = Exit.NOT_AS_PLANNED


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most similar to `name`; None if none is similar."""
    import difflib  # imported here: only an error needs it

    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """One sentence about an unknown name, with the nearest known name and, if there are few, all known names."""
    names = sorted(known)
    close = nearest(name, names)
    hint = f"; did you mean {close}?" if close else ""
    listed = f" Known: {', '.join(names)}." if len(names) <= 40 else ""
    return f"unknown {kind} '{name}'{hint or '.'}{listed}"
