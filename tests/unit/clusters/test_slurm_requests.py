"""What a job requests from Slurm, in the dialects of sites, and what of a site's file is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from launcher.errors import PlanError
from launcher.plan import LaunchPlan, make_plan


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
        (["gpu_request=gres", "gpu_type='1g.10gb+me'"], {"gres": "gpu:1g.10gb+me:4"}),
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
        ("sbatch.tres-per-task=gres:gpu:4", "cluster.gpu_request=gpus-per-task"),
        ("sbatch.account=5349", "quote it"),
        ("sbatch.time-min=36000", "quote it"),
        ("sbatch.account=120000.0", "quote it"),
        ("sbatch.partition='gpu;rm -rf'", "cannot have; write its name as `sinfo"),
        ("sbatch.partition='gpu --account=x'", "give each option a key of its own"),
        ("sbatch.partition=-p", "begins with a dash"),
        ("sbatch.account='$(whoami)'", "write its name as `sacctmgr"),
        ("sbatch.qos='a b'", "holds a blank"),
        ("sbatch.constraint='a100 & ib'", "joined without blanks"),
        ("sbatch.nodelist='n1 n2'", "hosts as n[01-04],n7"),
        ("sbatch.mail-user='me@x.org; ls'", "one address"),
        ("sbatch.mail-type='END FAIL'", "such as END,FAIL"),
        ("sbatch.dependency='afterok:1;2'", "such as afterok:1234"),
        ("sbatch.licenses='a:1 b:2'", "joined by commas"),
        ("srun.mpi='pmix;x'", "srun --mpi=list"),
        ("modules=['cuda/13.0 gcc/13']", "each its own item"),
        ("modules=['cuda; ls']", "commands belong into cluster.setup"),
        ("python='python3 -u'", "use cluster.python=python3"),
        ("python=-c", "name the interpreter"),
        ("container.python='python3 -O'", "use cluster.container.python=python3"),
        ("container.image=--bind", "cluster.container.options"),
        ("container={runtime: pyxis, image: a, mounts: ['/a,/b']}", "give each its own item"),
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


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("partition", "gpu,gpu-long"),
        ("account", "proj_7@gpu"),
        ("account", "Größe"),
        ("qos", "qos_gpu_h100-dev"),
        ("constraint", "[rack1*2&rack2*4]"),
        ("constraint", "(a100|h100)&!old"),
        ("nodelist", "n[01-04,07],m2"),
        ("exclude", "/home/me/bad_nodes.txt"),
        ("licenses", "fluent@server:2,abaqus:1"),
        ("gres", "nvme:200,lscratch:100G"),
        ("mail-user", "me+runs@mail.example.org"),
        ("mail-type", "TIME_LIMIT_90,FAIL"),
        ("dependency", "afterok:1234:1235?afterany:77_*"),
        ("reservation", "me_1,course-2"),
        ("wckey", "*default"),
        ("comment", "anything; $at all | here"),
        ("begin", "now + 1 hour"),
    ],
)
def test_names_as_sites_spell_them_are_passed_on(options, flag: str, value: str):
    assert options(f"++cluster.sbatch.{flag}='{value}'")[flag] == value


def test_a_folder_whose_name_would_split_a_mount_is_refused(compose, facts):
    config = compose("+experiment=tiny", "cluster=slurm", "cluster.container={runtime: pyxis, image: a}")
    known = facts(config)
    for folder in ("/data/a:b", "/data/a,b"):
        with pytest.raises(PlanError, match="rename the folder"):
            make_plan(config, replace(known, cache_dir=folder))


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
