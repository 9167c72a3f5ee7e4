"""Whether evaluations as jobs of their own can work in a run, and what such a job requests."""

import dataclasses

from launcher.clusters.job import Request
from launcher.clusters.registry import find_cluster
from launcher.config import Config, ContainerRuntime
from launcher.config.spelling import check_time
from launcher.errors import PlanError
from launcher.methods.registry import find_method
from launcher.plan.launch_plan import LaunchPlan
from launcher.run.metrics import TASKS


def check_eval_job(config: Config, plan: LaunchPlan) -> None:
    """PlanError for evaluations that cannot work in this run."""
    wanted = config.eval_job
    for name, traits in plan.plugins.items():
        if traits.needs_task and wanted.every is None:
            raise PlanError(
                f"plugins.{name} reads {TASKS}{traits.needs_task}, a figure of evaluations on tasks, and there are none; set "
                "eval_job.every and eval_job.tasks"
            )
    if wanted.every is None:
        if wanted.tasks or wanted.keep_best:
            raise PlanError(
                "eval_job without eval_job.every evaluates nothing; set it to a number of steps, or take eval_job out"
            )
        return
    for key, value, least in (
        ("every", wanted.every, 1), ("gpus", wanted.gpus, 1), ("keep_best", wanted.keep_best, 0),
        ("max_rows", wanted.max_rows, 1), ("few_shot", wanted.few_shot, 0),
    ):  # fmt: skip
        if value is not None and value < least:
            raise PlanError(f"eval_job.{key}={value} must be at least {least}")
    if not wanted.tasks:
        raise PlanError(
            "eval_job.tasks is empty; name tasks of lm-evaluation-harness, such as eval_job.tasks=[hellaswag]"
        )
    if find_method(plan.trainer).own_head:
        raise PlanError(
            f"eval_job.every={wanted.every}: tasks need a model that answers, and trainer={plan.trainer} trains a head for "
            "scores or classes; take eval_job out, and use trainer.eval_steps"
        )
    if config.cluster.container.runtime is not ContainerRuntime.none:
        raise PlanError(
            f"eval_job.every={wanted.every} with cluster.container.runtime={config.cluster.container.runtime.value}: such a "
            "job does not start in a container; take eval_job out, and evaluate checkpoints by hand (launcher evaluate)"
        )
    _check_metric(config)
    _check_saves(wanted.every, plan)
    check_time(wanted.time)
    try:
        find_cluster(plan.cluster).job_options(eval_request(config, plan, plan.facts.run_dir))
    except PlanError as error:  # those of the run itself are checked already
        raise PlanError(str(error).replace("cluster.sbatch.", "eval_job.sbatch.")) from None


def _check_metric(config: Config) -> None:
    wanted = config.eval_job
    if wanted.keep_best and wanted.metric is None:
        raise PlanError(
            f"eval_job.keep_best={wanted.keep_best} needs the figure by which it chooses: set eval_job.metric, such as "
            "hellaswag/acc_norm"
        )
    if wanted.metric is not None and not all(wanted.metric.partition("/")):
        raise PlanError(f"eval_job.metric={wanted.metric} must be TASK/METRIC, such as hellaswag/acc_norm")


def _check_saves(every: int, plan: LaunchPlan) -> None:
    """PlanError unless there is a checkpoint at each of the steps."""
    key = "plugins.sharded_checkpoint.save_steps"
    if plan.save is None:
        raise PlanError(
            f"eval_job.every={every} evaluates checkpoints, and the run saves none; add sharded_checkpoint to plugin=[...]"
        )
    steps = plan.save.save_steps
    if not steps:
        raise PlanError(
            f"eval_job.every={every} needs a number of steps between checkpoints; set {key} to a number that divides {every}"
        )
    if every % steps:
        near = f"{every // steps * steps} or {(every // steps + 1) * steps}" if every > steps else str(steps)
        raise PlanError(
            f"eval_job.every={every} is not a multiple of {key}={steps}, so that some of these steps have no checkpoint; use "
            f"eval_job.every={near}"
        )


def eval_request(config: Config, plan: LaunchPlan, folder: str) -> Request:
    """The request for the job of one evaluation, whose script starts in that folder."""
    wanted, site = config.eval_job, config.cluster
    return Request(
        name=f"eval-{config.name}",
        run_dir=folder,
        nodes=1,
        spares=0,
        gpus_per_node=wanted.gpus,
        cuda=plan.facts.device == "cuda",
        resources=dataclasses.replace(config.resources, nodes=1, time=wanted.time),
        site=dataclasses.replace(site, sbatch={**site.sbatch, **wanted.sbatch}),
    )
