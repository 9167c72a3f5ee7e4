"""Events that the commands of a user write."""

from collections.abc import Mapping, Sequence
from typing import Any

from launcher.run.events.base import Event


class Planned(Event):
    """The run dir was written: the run is planned and nothing has been submitted.

    Written by: launch, and a sweep's worker for its trial.
    """

    experiment: str | None = None
    """The name after +experiment=; None if none was given."""
    cluster: str | None = None
    """The kind of cluster that the plan is for."""
    data: Mapping[str, str] | None = None
    """Data path -> number of files, size, and a digest of the content; of a file above 64 MiB a digest of 256 parts, and the
    time of its last change."""


class Replanned(Event):
    """The run was planned again in the same run dir.

    Written by: resume.
    """

    changes: Mapping[str, Any] | None = None
    """Key of the configuration -> its old and its new value."""
    earlier: str | None = None
    """The folder with the files of the previous plan."""
    data: Mapping[str, str] | None = None
    """The data as in `planned`."""


class Submitted(Event):
    """A job was queued or started for the run.

    Written by: launch, resume and sweep; by the supervisor for a job that was submitted by hand.
    """

    job_id: str
    """The scheduler's id of the job; the process id on one machine."""
    cluster: str | None = None
    """The kind of cluster that has the job."""


class Cancelled(Event):
    """A person cancelled the run or the sweep.

    Written by: cancel and sweep cancel.
    """

    job_id: str | None = None
    """The job of the run."""
    job_ids: Sequence[str] | None = None
    """For a sweep: the jobs, or the numbers of the trials, that were cancelled."""


class TasksEvaluated(Event):
    """The run's model was evaluated on tasks of lm-evaluation-harness.

    Written by: evaluate with --tasks.
    """

    checkpoint: str | None = None
    """The checkpoint; None for the finished model."""
    chat: bool | None = None
    """Whether the prompts were rendered with the chat template."""
    scores: Sequence[Mapping[str, Any]]
    """Task, metric, filter, and the values and standard errors of the trained model and of its base."""
    tasks: Sequence[Mapping[str, Any]]
    """Task, rows, few_shot, version, and in_training: documents that share 13 consecutive words with a training row."""
    lm_eval: str | None = None
    """The version of lm-eval."""


class EvalJobFailed(Event):
    """An evaluation on tasks during training (eval_job) has no result; the training is not affected.

    Written by: the supervisor; the job of the evaluation.
    """

    step: int
    """The step of its checkpoint."""
    reason: str
    """Why."""


class Pushed(Event):
    """The result is on a model hub, and each file there has the digest of the file here.

    Written by: push, which the supervisor starts at the end of a run with hub.push.
    """

    repository: str
    """OWNER/NAME."""
    commit: str | None = None
    """The commit that holds it."""
    files: int | None = None
    """Files that the commit changed."""
    bytes: int | None = None
    """Their size."""


class NotPushed(Event):
    """The run is finished, and its result could not be pushed to a model hub.

    Written by: the supervisor.
    """

    repository: str
    """OWNER/NAME."""
    reason: str
    """Why, as push says it."""
