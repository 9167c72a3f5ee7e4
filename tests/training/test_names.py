"""Names that a login node knows as data are those of the installed transformers."""

from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from launcher.plan.names import BITSANDBYTES, OPTIMIZERS, SCHEDULERS


def test_optimizers_are_those_of_transformers():
    assert sorted(OPTIMIZERS) == sorted(one.value for one in OptimizerNames)
    assert set(BITSANDBYTES) <= set(OPTIMIZERS)


def test_schedules_are_those_of_transformers():
    assert sorted(SCHEDULERS) == sorted(one.value for one in SchedulerType)
