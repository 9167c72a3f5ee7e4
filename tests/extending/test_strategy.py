"""A strategy of another package: plain data parallelism under another name, in one module."""

import json
from pathlib import Path

import pytest

from tests.extending.foreign import install
from tests.support import preloaded
from tests.support.runs import Finished, environment

pytestmark = pytest.mark.train

TOY = '''
"""toy: every rank holds the whole training state; each says so in its log."""

from typing import ClassVar

from launcher.strategies import Strategy


class Toy(Strategy):
    """ddp under another name."""

    __slots__ = ()
    on_rank: ClassVar[str] = __name__


SPEC = Toy(name="toy", engine="toy")


def __getattr__(name):
    """The rank's side, made where torch is there: a login node has none."""
    if name != "ON_RANK":
        raise AttributeError(name)
    from launcher.train.strategies.base import OnRank

    class ToyOnRank(OnRank):
        def before_ranks_meet(self, plan):
            print(f"toy: {plan.degrees.dp_replicate} copies of everything", flush=True)

    return ToyOnRank()
'''
TWO = ("strategy.engine=toy", "resources.gpus_per_node=2", "batch.micro_batch_size=1")
SAVING = ("trainer.max_steps=6", "plugins.sharded_checkpoint.save_steps=3", "data.eval_path=null")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the foreign package is installed."""
    points = {"launcher.strategies": {"toy": "toy_strategy"}}
    return install(tmp_path_factory.mktemp("site"), "toy-strategy", {"toy_strategy": TOY}, points)


def run_command(site: Path, folder: Path, *arguments: str, code: int = 0) -> str:
    """What the command prints, with the foreign package installed; it must end with that exit code."""
    done = preloaded.run(arguments, folder, environment(PYTHONPATH=str(site)), timeout_s=300)  # fmt: skip
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout if code == 0 else done.stderr


def tiny(site: Path, folder: Path, cache: Path, *overrides: str) -> Finished:
    """A finished run of the tiny model."""
    told = run_command(
        site, folder, "+experiment=tiny", "cluster=local", f"cache_dir={cache}", "--json", *SAVING, *overrides
    )
    return Finished(Path(json.loads(told.splitlines()[0])["run_dir"]))


@pytest.fixture(scope="module")
def trained(site: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Two ranks under the toy strategy."""
    return tiny(site, tmp_path_factory.mktemp("toy"), cache, *TWO)


def test_a_dry_run_writes_the_plan_of_the_foreign_strategy(site, cache, tmp_path):
    run = tiny(site, tmp_path, cache, *TWO, "dry_run=true")
    plan = json.loads((run.path / "plan.json").read_text())
    assert plan["strategy"]["name"] == plan["strategy"]["engine"] == "toy"
    assert (plan["degrees"]["dp_replicate"], plan["degrees"]["dp_shard"]) == (2, 1)
    assert "distributed_type: MULTI_GPU" in (run.path / "accelerate.yaml").read_text()


def test_its_plan_is_that_of_ddp_but_for_the_name(site, tmp_path):
    arguments = ("plan", "+experiment=llama8b_lora", "cluster.gpus_per_node=8", "--json")
    toy, ddp = (
        json.loads(run_command(site, tmp_path, *arguments, f"strategy.engine={name}"))
        for name in ("toy", "ddp")
    )
    assert toy["memory"] == ddp["memory"] and toy["time"] == ddp["time"] and toy["degrees"] == ddp["degrees"]
    assert (toy["strategy"]["name"], ddp["strategy"]["name"]) == ("toy", "ddp")


def test_a_strategy_that_is_not_installed_is_refused_in_one_line(site, tmp_path):
    said = run_command(site, tmp_path, "plan", "+experiment=tiny", "strategy.engine=toyy", code=1)
    assert "strategy.engine=toyy: unknown strategy 'toyy'; did you mean toy?" in said
    assert len(said.strip().splitlines()) == 1


def test_two_ranks_train_as_under_ddp(site, trained, cache, tmp_path):
    ddp = tiny(site, tmp_path, cache, *TWO, "strategy.engine=ddp")
    assert len(trained.losses) == 6
    assert trained.losses == ddp.losses
    assert "toy: 2 copies of everything" in trained.logs()


@pytest.mark.long
def test_a_run_continues_from_its_checkpoint(site, trained, cache, tmp_path):
    manifest = json.loads((trained.path / "checkpoints/step_00000003/manifest.json").read_text())
    assert (manifest["strategy"], manifest["world_size"]) == ("toy", 2)
    start = (f"resume={trained.path / 'checkpoints/step_00000003'}", "trust_checkpoint=true")
    again = tiny(site, tmp_path, cache, *TWO, *start)
    assert again.losses == trained.losses[3:]


def test_status_and_report_name_it(site, trained, tmp_path):
    assert (
        json.loads(run_command(site, tmp_path, "status", str(trained.path), "--json"))["state"] == "finished"
    )
    page = tmp_path / "report.html"
    run_command(site, tmp_path, "report", str(trained.path), "--out", str(page))
    assert "toy, fp32" in page.read_text()
