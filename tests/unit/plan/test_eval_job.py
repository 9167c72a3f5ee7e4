"""Evaluations as jobs of their own: what is refused before the queue, and what such a job requests."""

import pytest

from launcher.clusters.registry import find_cluster
from launcher.errors import PlanError
from launcher.plan.eval_job import eval_request

SAVES = ("plugin=[lora,sharded_checkpoint]", "plugins.sharded_checkpoint.save_steps=50")
TASKS = "eval_job={every: 100, tasks: [hellaswag]}"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("eval_job.tasks=[hellaswag]",), "eval_job without eval_job.every evaluates nothing"),
        (("eval_job.every=0", "eval_job.tasks=[a]"), "eval_job.every=0 must be at least 1"),
        (("eval_job.every=100",), "eval_job.tasks is empty; name tasks"),
        ((TASKS, "eval_job.gpus=0"), "eval_job.gpus=0 must be at least 1"),
        ((TASKS, "eval_job.keep_best=2"), "eval_job.keep_best=2 needs the figure by which it chooses: set eval_job.metric"),
        ((TASKS, "eval_job.metric=acc"), "eval_job.metric=acc must be TASK/METRIC, such as hellaswag/acc_norm"),
        ((TASKS, "eval_job.time=soon"), "soon"),
        ((TASKS, "+eval_job.sbatch.partitoin=small"), "sbatch option; did you mean eval_job.sbatch.partition?"),
        ((TASKS, "eval_job.every=120"), "is not a multiple of plugins.sharded_checkpoint.save_steps=50, so that some of these "
         "steps have no checkpoint; use eval_job.every=100 or 150"),
        ((TASKS, "eval_job.every=20"), "use eval_job.every=50"),
        ((TASKS, "plugins.sharded_checkpoint.save_steps=auto"), "needs a number of steps between checkpoints"),
        ((TASKS, "plugin=[lora]", "~plugins.sharded_checkpoint"), "the run saves none; add sharded_checkpoint"),
        (("plugin=[lora,sharded_checkpoint,early_stopping]", "plugins.early_stopping.metric=tasks/a/acc",
          "plugins.early_stopping.restore_best=false"),
         "plugins.early_stopping reads tasks/a/acc, a figure of evaluations on tasks, and there are none; set eval_job.every"),
        ((TASKS, "trainer=classify"), "trainer=classify trains a head for scores or classes"),
        ((TASKS, "cluster.container.runtime=apptainer", "cluster.container.image=/i.sif"), "does not start in a container"),
    ],
)  # fmt: skip
def test_an_evaluation_that_cannot_work_is_refused(plan, typed: tuple[str, ...], said: str):
    saves = SAVES if "~plugins.sharded_checkpoint" not in typed else ()
    with pytest.raises(PlanError) as refused:
        more = {"classes": {"a": 1, "b": 1}} if "trainer=classify" in typed else {}
        plan("+experiment=tiny", *saves, *(one for one in typed if not one.startswith("~")), **more)
    assert said in str(refused.value)


def test_the_job_has_one_node_its_own_gpus_and_time_and_the_options_of_the_site(plan, compose):
    typed = ("+experiment=tiny", *SAVES, TASKS, "resources.nodes=4", "resources.gpus_per_node=4",
             "batch.global_batch_size=64", "+cluster.sbatch.account=abc", "+cluster.sbatch.partition=big", "eval_job.gpus=2",
             "eval_job.time=00:20:00", "+eval_job.sbatch.partition=small")  # fmt: skip
    config = compose(*typed)
    options = find_cluster("slurm").job_options(
        eval_request(config, plan(*typed), "/runs/a/b/evaluations/step_1")
    )
    wanted = {"nodes": "1", "gpus-per-node": "2", "time": "00:20:00", "account": "abc", "partition": "small",
              "job-name": "eval-tiny"}  # fmt: skip
    assert {name: options[name] for name in wanted} == wanted and "no-kill" not in options


def test_evaluations_do_not_change_the_plan_of_a_run(plan):
    assert plan("+experiment=tiny", *SAVES, TASKS) == plan("+experiment=tiny", *SAVES)
