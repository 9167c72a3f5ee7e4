"""A strategy of another package whose ranks share sequences: what is planned follows its degrees, with no line changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.extending.foreign import install
from tests.support import preloaded
from tests.support.runs import environment

HALVED = '''
"""halved: two ranks share each sequence."""

from launcher.errors import PlanError
from launcher.strategies import Degrees, Strategy


class Halved(Strategy):
    """Plain data parallelism over pairs of ranks."""

    __slots__ = ()

    def degrees(self, config, world_size):
        if world_size % 2:
            raise PlanError(f"strategy.engine=halved needs an even number of ranks, not {world_size}; use one more")
        return Degrees(dp_replicate=world_size // 2, sequence=2)


SPEC = Halved(name="halved", engine="halved")
'''
EIGHT = ("plan", "+experiment=llama8b_lora", "resources.gpus_per_node=8", "cluster.gpus_per_node=8", "--json")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the foreign package is installed."""
    points = {"launcher.strategies": {"halved": "halved_strategy:SPEC"}}
    return install(tmp_path_factory.mktemp("site"), "halved-strategy", {"halved_strategy": HALVED}, points)


def planned(site: Path, folder: Path, *overrides: str, code: int = 0) -> Any:
    """plan --json with the foreign package installed; what it says on stderr where the exit code is another."""
    done = preloaded.run((*EIGHT, *overrides), folder, environment(PYTHONPATH=str(site)), timeout_s=120)  # fmt: skip
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stdout + done.stderr


def test_the_batch_is_of_the_groups_and_not_of_the_ranks(site, tmp_path):
    halved, ddp = (planned(site, tmp_path, f"strategy.engine={name}") for name in ("halved", "ddp"))
    assert halved["topology"] == ddp["topology"]
    assert (halved["degrees"]["dp_replicate"], halved["degrees"]["sequence"]) == (4, 2)
    steps = [plan["batch"]["gradient_accumulation_steps"] for plan in (halved, ddp)]
    assert steps[0] == 2 * steps[1]


def test_degrees_that_do_not_divide_the_ranks_are_refused(site, tmp_path):
    said = planned(site, tmp_path, "strategy.engine=halved", "resources.gpus_per_node=7", code=1)
    assert "strategy.engine=halved needs an even number of ranks, not 7" in said
