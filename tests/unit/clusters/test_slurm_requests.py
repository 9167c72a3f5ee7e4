"""What a job requests from Slurm, in the dialects of sites, and what of a site's file is refused."""

from collections.abc import Callable

import pytest

from launcher.errors import PlanError
from launcher.plan import LaunchPlan


@pytest.fixture
def options(plan: Callable[..., LaunchPlan]) -> Callable[..., dict[str, str]]:
    return lambda *overrides: dict(plan("+experiment=llama8b_lora", *overrides).job_options)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], {"gpus-per-node": "4"}),
        (["gpu_type=a100"], {"gpus-per-node": "a100:4"}),
        (["gpu_request=gpus-per-task", "gpu_type=A100"], {"gpus-per-task": "A100:4"}),
        (["gpu_request=gres"], {"gres": "gpu:4"}),
        (["gpu_request=gres", "gpu_type=a100"], {"gres": "gpu:a100:4"}),
        (["gpu_request=gres", "gpu_type=3g.40gb"], {"gres": "gpu:3g.40gb:4"}),
        (["gpu_request=gres", "sbatch.gres=nvme:200"], {"gres": "gpu:4,nvme:200"}),
        (["sbatch.gres=nvme:200"], {"gres": "nvme:200", "gpus-per-node": "4"}),
        (["gpu_request=none", "sbatch.exclusive=true"], {"exclusive": ""}),
        (["sbatch.licenses=fluent:2"], {"licenses": "fluent:2", "gpus-per-node": "4"}),
    ],
)
def test_gpus_are_requested_in_the_dialect_of_the_site(options, overrides, expected):
    made = options(*(f"++cluster.{one}" for one in overrides))
    asked = {"gpus-per-node", "gpus-per-task", "gres", "exclusive", "licenses"}
    assert {key: made[key] for key in made.keys() & asked} == expected


@pytest.mark.parametrize(
    ("override", "way_out"),
    [
        ("gpu_request=gress", "did you mean gres?"),
        ("gpu_type='a100 h100'", "must be one word"),
        ("sbatch.gres=gpu:a100:4", "cluster.gpu_request=gres and cluster.gpu_type"),
        ("sbatch.gpus-per-node=a100:4", "cluster.gpu_type and cluster.gpu_request"),
        ("sbatch.gres='nvme:200,gpu:4'", "cluster.gpu_type"),
        ("sbatch.account=5349", "quote it"),
        ("sbatch.time-min=36000", "quote it"),
        ("sbatch.account=120000.0", "quote it"),
        ("sbatch.output='~/logs/%j.out'", "write an absolute path"),
        ("sbatch.output='$HOME/%j.out'", "write an absolute path"),
        ("sbatch.error=%x/%j.err", "Slurm creates no folders"),
        ("sbatch.output=slurm/", "names a folder"),
        ("sbatch.output=./plan.json", "is a file or folder of the run itself"),
        ("sbatch.error=checkpoints/%j.err", "is a file or folder of the run itself"),
        ("sbatch.output=12", "quote it"),
        ("srun.nodes=2", "resources.nodes"),
        ("srun.export=NONE", "cluster.env"),
        ("srun.cpu-bin=none", "did you mean cluster.srun.cpu-bind?"),
        ("srun.CPU_BIND=none", "long name"),
        ("srun.mpi=''", "one value"),
        ("env.SLURM_MPI_TYPE=none", "cluster.srun.mpi"),
        ("env.SBATCH_TIMELIMIT=5", "cluster.sbatch.timelimit"),
        ("env.SLURM_NNODES=5", "cluster.srun or cluster.sbatch"),
    ],
)
def test_a_request_that_slurm_would_misread_is_refused_with_its_key(options, override: str, way_out: str):
    with pytest.raises(PlanError) as refusal:
        options(f"++cluster.{override}")
    assert way_out in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_gpu_type_without_a_request_for_gpus_is_refused(options):
    with pytest.raises(PlanError, match=r"cluster\.gpu_request=none"):
        options("cluster.gpu_request=none", "cluster.gpu_type=a100")


@pytest.mark.parametrize(
    ("time", "clock"), [("43200", "12:00:00"), ("5400", "1:30:00"), ("86400", "24:00:00")]
)
def test_a_time_that_yaml_has_turned_into_a_number_is_refused(options, time: str, clock: str):
    with pytest.raises(PlanError, match=f'write "{clock}" in quotes'):
        options(f"resources.time={time}")


def test_the_number_of_cores_of_a_node_does_not_silence_the_warning_of_one_core(plan):
    from launcher.plan import few_cores

    made = plan("+experiment=llama8b_lora", "resources.cpus_per_gpu=null", "++cluster.sbatch.mincpus=64")
    assert "one core" in (few_cores(made) or "")


def test_a_step_gets_the_sites_options_and_the_whole_environment(plan):
    made = plan(
        "+experiment=tiny",
        "++cluster.srun={mpi: none, cpu-bind: 'mask_cpu:0x1,0x2', overlap: true, network: null}",
    )
    assert made.step_options[-4:] == (
        "--export=ALL",
        "--mpi=none",
        "--cpu-bind=mask_cpu:0x1,0x2",
        "--overlap",
    )
