"""A plugin in a module of somebody else's that declares which combinations it does not work with."""

import json
import sys

import pytest

from launcher.__main__ import main

PLUGIN = """
from dataclasses import dataclass
from launcher.plan.traits import Traits
from launcher.plugins.base import Plugin
from launcher.rule import Rule

RULES = (
    Rule(
        number=1, what="fast_rope on a CPU", reason="its kernel needs a GPU", way_out="take it out",
        broken=lambda run: run.device == "cpu",
    ),
    Rule(
        number=2, what="fast_rope under a strategy that shards the weights", reason="it reads whole weights",
        way_out="use strategy=zero2 or ddp", broken=lambda run: run.strategy.shards_weights,
    ),
)


@dataclass(frozen=True, kw_only=True)
class FastRope(Plugin):
    strict: bool = True

    @property
    def traits(self):
        return Traits(rules=RULES if self.strict else ())
"""
TYPED = [
    "plan",
    "+experiment=llama8b_lora",
    "cluster=slurm",
    "+plugins.rope._target_=rope_of_mine.FastRope",
    "--json",
]


@pytest.fixture
def plan(tmp_path, monkeypatch, capfd):
    """The answer of `plan --json` with the plugin and these overrides."""
    (tmp_path / "rope_of_mine.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def plan(*overrides: str):
        main([*TYPED, *overrides])
        return json.loads(capfd.readouterr().out)

    yield plan
    sys.modules.pop("rope_of_mine", None)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["resources.device=cpu"], "on a CPU does not work: its kernel needs a GPU; take it out (rule 1 of plugins.rope)"),
        (["strategy=zero3"], "use strategy=zero2 or ddp (rule 2 of plugins.rope)"),
        (["strategy=fsdp2"], "(rule 2 of plugins.rope)"),
    ],
)  # fmt: skip
def test_a_plan_that_breaks_a_plugins_rule_is_refused_with_its_number(plan, typed, said):
    assert said in plan(*typed)["error"]["message"]


@pytest.mark.parametrize("typed", [["strategy=zero2"], ["strategy=zero3", "+plugins.rope.strict=false"]])
def test_a_plan_that_breaks_none_is_made_and_holds_no_code(plan, typed):
    assert "rules" not in plan(*typed)["plugins"]["rope"]


def test_what_the_planner_chooses_or_proposes_breaks_no_rule_of_a_plugin(plan):
    found = plan(
        "strategy=auto",
        "batch.micro_batch_size=auto",
        "cluster.gpu_memory_gib=80",
        "resources.gpus_per_node=8",
    )
    proposed = [word for one in found["alternatives"] for word in one["overrides"]]
    assert found["strategy"]["name"] in ("ddp", "zero1", "zero2")
    assert not {"strategy=zero3", "strategy=fsdp2"} & set(proposed)
