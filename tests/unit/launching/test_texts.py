"""Options of other programs reach them as they were typed."""

import pytest

from launcher.launching.texts import as_typed


@pytest.mark.parametrize(
    ("typed", "passed"),
    [
        ("cluster.sbatch.partition=short,long", "cluster.sbatch.partition='short,long'"),
        ("+cluster.sbatch.account=012345", "+cluster.sbatch.account='012345'"),
        ("cluster.srun.cpu-bind=mask_cpu:0x1,0x2", "cluster.srun.cpu-bind='mask_cpu:0x1,0x2'"),
        ("cluster.env.NCCL_IB_HCA=mlx5_0,mlx5_1", "cluster.env.NCCL_IB_HCA='mlx5_0,mlx5_1'"),
        ("cluster.sbatch.comment=it's", r"cluster.sbatch.comment='it\'s'"),
        ("cluster.sbatch.exclusive=true", "cluster.sbatch.exclusive=true"),
        ("cluster.sbatch.qos=null", "cluster.sbatch.qos=null"),
        ("cluster.sbatch.qos='a,b'", "cluster.sbatch.qos='a,b'"),
        ("cluster.sbatch.qos=${name}", "cluster.sbatch.qos=${name}"),
        ("cluster.sbatch={a: b}", "cluster.sbatch={a: b}"),
        ("batch.global_batch_size=1,2", "batch.global_batch_size=1,2"),
    ],
)
def test_a_text_is_quoted_and_the_rest_is_hydras(typed: str, passed: str):
    assert as_typed([typed]) == [passed]


def test_a_multirun_sweeps_over_an_environment_variable_and_over_no_option_of_sbatch():
    typed = ["-m", "cluster.env.NCCL_ALGO=Ring,Tree", "cluster.sbatch.partition=a,b"]
    assert as_typed(typed) == ["-m", "cluster.env.NCCL_ALGO=Ring,Tree", "cluster.sbatch.partition='a,b'"]
