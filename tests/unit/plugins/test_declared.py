"""What a plugin declares decides how it is treated, and its name and path do not."""

import dataclasses
from dataclasses import dataclass, replace
from typing import Any

import pytest
from omegaconf import OmegaConf

from launcher.errors import PlanError
from launcher.plan import LaunchPlan
from launcher.plan.traits import Traits
from launcher.plugins.base import Plugin, make_plugins
from launcher.resources import resource_dir

HERE = "tests.unit.plugins.test_declared"


@dataclass(frozen=True, kw_only=True)
class not_the_forgetting_guard(Plugin):
    """A user's plugin whose path holds the name of a shipped one."""

    init_lora_weights: str = "pissa"


@dataclass(frozen=True, kw_only=True)
class Declares(Plugin):
    """A user's plugin that declares the given traits."""

    trait: str

    @property
    def traits(self) -> Traits:
        return Traits(**{self.trait: True})


@dataclass(frozen=True, kw_only=True)
class SmallBuckets(Plugin):
    """A user's plugin that sets two values of deepspeed.json."""

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        assert plan.deepspeed is not None
        zero = {**plan.deepspeed["zero_optimization"], "reduce_bucket_size": 1234, "overlap_comm": False}
        return replace(plan, deepspeed={**plan.deepspeed, "zero_optimization": zero})


def user(name: str, **options: Any) -> list[str]:
    return [
        f"+plugins.mine._target_={HERE}.{name}",
        *(f"+plugins.mine.{key}={value}" for key, value in options.items()),
    ]


def test_a_users_plugin_is_not_taken_for_a_shipped_one_by_its_path_or_options(plan):
    mine = user("not_the_forgetting_guard", init_lora_weights="pissa")
    assert plan("+experiment=llama8b_lora", "plugin=[lora]", "trainer=reward", *mine)
    assert plan("+experiment=llama8b_lora", "plugin=[lora]", "trainer=dpo", *mine)


@pytest.mark.parametrize(
    ("trait", "overrides", "said"),
    [
        ("needs_token_predictions", ["trainer=reward"], "rule 9 "),
        ("moves_weights", ["trainer=dpo"], "rule 12 "),
        ("needs_eval", [], "plugins.mine needs evaluations during training"),
    ],
)
def test_a_users_plugin_is_refused_by_what_it_declares(plan, trait, overrides, said):
    with pytest.raises(PlanError, match=said):
        plan("+experiment=llama8b_lora", "plugin=[lora]", *overrides, *user("Declares", trait=trait))


def test_the_plan_says_what_each_plugin_declares(plan):
    made = plan("+experiment=llama8b_lora", *user("Declares", trait="saves")).to_dict()["plugins"]
    assert made["mine"]["saves"] and made["sharded_checkpoint"]["saves"]
    assert not made["lora"]["saves"]


def test_what_a_plugin_sets_in_deepspeed_json_stays(plan):
    made = plan("+experiment=llama8b_lora", "strategy=zero3", *user("SmallBuckets"))
    zero = made.deepspeed["zero_optimization"]
    assert (zero["reduce_bucket_size"], zero["overlap_comm"]) == (1234, False)


@pytest.mark.parametrize(
    "file", sorted((resource_dir("conf") / "plugin").glob("*.yaml")), ids=lambda file: file.stem
)
def test_the_file_of_a_plugin_lists_its_options_with_their_defaults(file):
    shipped = OmegaConf.to_container(OmegaConf.load(file))
    (plugin,) = make_plugins({file.stem: shipped})
    defaults = {field.name: field.default for field in dataclasses.fields(plugin)}
    assert {key: value for key, value in shipped.items() if key != "_target_"} == defaults
