"""What the verbs of sweeps print under --json."""

from typing import TypedDict

from launcher.launching.plan_warnings import HowMuch
from launcher.launching.summary import ShutdownTime


class Together(TypedDict):
    """Trials that share one copy of their base model, in one job."""

    trials: int
    """Trials at the same time on one GPU, or on one CPU rank."""
    mixed: bool
    """Whether their rows go through the base model in one pass; otherwise they take turns."""
    why: str
    """The reason for both."""
    gib: float | None
    """Peak GiB of the GPU for all of them; null on a CPU, and if it is not known."""
    one_gib: float | None
    """The same for one trial."""
    alone: dict[str, str]
    """Number of each trial that runs alone, with the reason."""


class PlannedTogether(TypedDict):
    """What sweep.together would do with trials like the planned run."""

    trials: int
    """Trials at the same time on one GPU, or on one CPU rank; 1 if the run cannot share its base model."""
    mixed: bool
    """Whether their rows go through the base model in one pass; otherwise they take turns."""
    why: str
    """The reason for both, or why the run trains alone."""
    gib: float | None
    """Peak GiB of the GPU for all of them; null on a CPU, and if it is not known."""
    one_gib: float | None
    """The same for one trial."""
    shutdown: ShutdownTime | None
    """Whether a pre-empted job has the time to save all trials; null without saves."""


class PlannedInSweep(TypedDict):
    """What `plan` says about a run as a trial of a sweep."""

    together: PlannedTogether | None
    """Trials like this one on one copy of the base model; null with sweep.together=1."""


class SweepLaunched(TypedDict):
    """A sweep that was queued, runs on this machine, or was only written (a dry run)."""

    sweep: str
    """name/sweep_date_time, by which every verb finds the sweep."""
    sweep_dir: str
    """Absolute path of its folder."""
    cluster: str
    """The cluster's name; for cluster.kind=auto the one that was chosen."""
    trials: int | None
    """Number of trials; null where a budget of time decides it."""
    job_ids: list[str]
    """The scheduler's ids of its jobs; empty for trials on this machine and for a dry run."""
    dry_run: bool
    """Whether everything was written and nothing submitted."""
    command: str
    """The command that submits its jobs by hand."""
    training: HowMuch
    """What its first trial trains: steps, samples, tokens."""
    together: Together | None
    """Trials that share a base model; null without sweep.together."""


class SweepResumed(TypedDict):
    """A sweep that resumes."""

    sweep: str
    """name/sweep_date_time."""
    trials: list[int]
    """Numbers of the trials that are trained again; empty where a sampler chooses the next ones."""
    job_ids: list[str]
    """The scheduler's ids of its new jobs; empty for trials on this machine."""


class SweepExtended(TypedDict):
    """A sweep that has more trials."""

    sweep: str
    """name/sweep_date_time."""
    trials: int
    """How many trials were added."""
    job_ids: list[str]
    """The scheduler's ids of its new jobs; empty for trials on this machine."""


class SweepCancelled(TypedDict):
    """A sweep that was cancelled."""

    sweep: str
    """name/sweep_date_time."""
    cancelled: list[str]
    """What was cancelled: the scheduler's ids of jobs, or numbers of trials on this machine; empty if nothing was left."""


class BestTrial(TypedDict):
    """The best finished trial of a sweep, as an experiment."""

    sweep: str
    """name/sweep_date_time."""
    trial: int
    """The trial's number."""
    value: float | None
    """The sweep's objective at the trial's end."""
    overrides: dict[str, str]
    """The swept keys with the values of this trial, as typed on a command line."""
    experiment: str
    """Path of the experiment file that was written."""
    command: str
    """The command that runs it."""


class SweepState(TypedDict):
    """A sweep, with the state of each trial."""

    path: str
    """Absolute path of its folder."""
    counts: dict[str, int]
    """Number of trials in each state."""
    best: int | None
    """Number of the finished trial with the best value; null before one has finished."""
    job_ids: list[str]
    """The scheduler's ids of its jobs."""
