"""Texts reach the programs that read them as they were typed; ~ and $NAME in the paths of a configuration."""

from pathlib import Path
from typing import Any

import pytest

from launcher.errors import ConfigError
from launcher.launching.compose import compose
from launcher.launching.typed import as_typed


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
        ("cluster.sbatch.constraint=[a|b]", "cluster.sbatch.constraint='[a|b]'"),
        ("cluster.env.X=true", "cluster.env.X='true'"),
        ("cluster.env.X='true'", "cluster.env.X='true'"),
        ("name=007", "name='007'"),
        ("model.revision=12e4567", "model.revision='12e4567'"),
        ("cluster.gpu_type=3e2", "cluster.gpu_type='3e2'"),
        ("+tracker.project=1_0", "+tracker.project='1_0'"),
        ("cluster.time_limits.gpu=60", "cluster.time_limits.gpu='60'"),
        ("trainer.learning_rate=1e-4", "trainer.learning_rate=1e-4"),
        ("seed=007", "seed=007"),
        ("plugins.lora.r=16", "plugins.lora.r=16"),
        ("cluster.modules=1.10", "cluster.modules=1.10"),
    ],
)
def test_a_text_is_quoted_and_the_rest_is_hydras(typed: str, passed: str):
    assert as_typed([typed]) == [passed]


def test_each_value_of_a_sweep_over_a_text_is_a_text():
    assert as_typed(["-m", "model.revision=12e4567,main,0123"])[1] == "model.revision='12e4567',main,'0123'"
    assert as_typed(["-m", "trainer.learning_rate=1e-4,2e-4"])[1] == "trainer.learning_rate=1e-4,2e-4"


def test_a_multirun_sweeps_over_an_environment_variable_and_over_no_option_of_sbatch():
    typed = ["-m", "cluster.env.NCCL_ALGO=Ring,Tree", "cluster.sbatch.partition=a,b"]
    assert as_typed(typed) == ["-m", "cluster.env.NCCL_ALGO=Ring,Tree", "cluster.sbatch.partition='a,b'"]


@pytest.fixture(autouse=True)
def _shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    monkeypatch.setenv("MY_TOKEN", "abcdefghij")
    monkeypatch.delenv("NO_SUCH", raising=False)


SETS = [
    {
        "runs_dir=~/r": "/home/me/r",
        "cache_dir=$SCRATCH/cache": "/scratch/me/cache",
        "data.path='~/x.jsonl'": "/home/me/x.jsonl",
        "data.eval_path=$SCRATCH/e.jsonl": "/scratch/me/e.jsonl",
        "resume='~/runs/a'": "/home/me/runs/a",
        "cluster.python='~/v/bin/python'": "/home/me/v/bin/python",
        "cluster.container.image=$SCRATCH/i.sif": "/scratch/me/i.sif",
        "cluster.env.HF_HOME='~/hf'": "/home/me/hf",
        "cluster.env.COST=5$": "5$",
        "cluster.node_cache='~/own'": "/home/me/own",
        "cluster.container.mounts=['~/m:/m',$SCRATCH]": ["/home/me/m:/m", "/scratch/me"],
    },
    {
        "runs_dir='~/r'": "/home/me/r",
        "cluster.env.HF_HOME=$SCRATCH/hf": "/scratch/me/hf",
        "cluster.node_cache=$SLURM_TMPDIR": "$SLURM_TMPDIR",
        "data.sources=[{path: '~/a.jsonl'}]": "/home/me/a.jsonl",
        "cluster.setup=['source ~/venv/bin/activate','echo a~/b $SCRATCH']": [
            "source /home/me/venv/bin/activate",
            "echo a~/b $SCRATCH",
        ],
    },
]


@pytest.mark.parametrize("typed", SETS)
def test_a_path_is_what_a_person_expects_and_stands_in_the_configuration(typed: dict[str, object]):
    (composed,) = compose(["+experiment=tiny", *typed])
    found: dict[str, object] = {}
    for word in typed:
        node: Any = composed.config
        for name in word.partition("=")[0].split("."):
            node = node[name] if isinstance(node, dict) else getattr(node, name)
        found[word] = node[0].path if "sources" in word else node
    assert found == typed


def test_a_path_of_a_file_is_expanded_too(tmp_path: Path):
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster/mine.yaml").write_text(
        "defaults: [slurm, _self_]\npython: ~/v/bin/python\nenv: {HF_HOME: $SCRATCH/hf}\n"
    )
    (composed,) = compose(["+experiment=tiny", "--config-dir", str(tmp_path), "cluster=mine"])
    site = composed.config.cluster
    assert (site.python, site.env) == ("/home/me/v/bin/python", {"HF_HOME": "/scratch/me/hf"})


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("data.path=$NO_SUCH/x", r"^data\.path=\$NO_SUCH/x: \$NO_SUCH is not set in this shell; set it"),
        ("cluster.env.X=$NO_SUCH/x", "cluster.setup sources on the nodes"),
        ("cluster.env.X=$MY_TOKEN", "looks like a secret"),
        (
            "data.path=~no_such_user/x",
            r"^data\.path=~no_such_user/x: no user no_such_user is known here; write the whole path",
        ),
        ("runs_dir=~no_such_user/x", r"^runs_dir=~no_such_user/x: no user no_such_user"),
        ("cluster.node_cache=~no_such_user/x", r"^cluster\.node_cache=~no_such_user/x: no user no_such_user"),
    ],
)
def test_a_variable_that_is_not_set_or_holds_a_secret_is_refused(typed: str, says: str):
    with pytest.raises(ConfigError, match=says):
        compose(["+experiment=tiny", typed])
