"""What a thousand trials' configurations are put together from is what Hydra composes for each."""

import random
from collections.abc import Sequence

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from launcher.config import Config
from launcher.errors import ConfigError
from launcher.launching.compose import MultirunRequest, compose, compose_trial
from launcher.sweep.derive import Deriver
from launcher.sweep.expand import grid, read_axes

# Every kind of override: numbers, enums, unions, nulls, groups, lists, mappings, new keys, interpolations across keys.
AXES = (
    "trainer.learning_rate=1e-3,2,3e-2", "trainer.learning_rate=range(0.001,0.004,0.001)", "plugins.lora.r=range(1,4)",
    "plugins.lora.r=choice(4,8)", "seed=range(3)", "batch.micro_batch_size=1,2,auto", "data.check=full,off",
    "data.eval_path=null,a", "strategy=glob(zero*)", "strategy=ddp,fsdp2", "plugin=[lora],[lora,gradient_checkpointing]", 
    "model=tiny,smollm2_135m",
    "name=a,b", "name='x_${seed}',y", "trainer.weight_decay=${trainer.learning_rate},0.5", "trainer.weight_decay=0,1",
    "+plugins.lora.more=1,null,text", "++plugins.lora.more=1,2", "cluster.modules=[a],[b,c]", "+cluster.env.A=1,2",
    "resources.nodes=1,2", "data.sources=[],[{path: z.jsonl, weight: 2}]", "trainer.optim=adamw_torch,'sgd'",
    "tracker.project=${name},${model.name_or_path}", "model.architecture.hidden_size=32,64", "trainer.packing=true,false",
    "name='job_${hydra:job.num}',z", "trainer.sample_prompt='a b, c',null",
    "batch={global_batch_size: 4},{global_batch_size: 8}",
)  # fmt: skip
FIXED = ("trainer.max_steps=3", "tracker.project='${name}_${seed}'", "plugins.lora.alpha=${plugins.lora.r}")


def both_ways(overrides: Sequence[str], dice: random.Random, most: int) -> list[tuple[Config, Config]]:
    """(derived, composed by Hydra) of some trials of a sweep."""
    pairs: list[tuple[Config, Config]] = []

    def take(asked: MultirunRequest) -> None:
        axes = read_axes(OverridesParser.create(config_loader=asked.loader).parse_overrides(asked.typed))
        trials = list(grid(axes))
        deriver = Deriver(asked, axes)
        numbers = sorted(dice.sample(range(len(trials)), min(most, len(trials))))
        derived = [deriver.derive(trials[number], number).config for number in numbers]
        for config, number in zip(derived, numbers, strict=True):
            _, composed = compose_trial(asked, [value.line for value in trials[number]], number)
            pairs.append((config, composed.config))

    compose(["-m", *overrides], take)
    return pairs


@pytest.mark.parametrize("seed", range(6))
def test_derived_configurations_equal_hydras_own(seed):
    dice = random.Random(seed)
    keys: dict[str, str] = {}
    for axis in dice.sample(AXES, 6):
        keys.setdefault(axis.lstrip("+").partition("=")[0], axis)
    fixed = [one for one in dice.sample(FIXED, 2) if one.lstrip("~").partition("=")[0] not in keys]
    try:
        pairs = both_ways(["+experiment=tiny", *fixed, *keys.values()], dice, 6)
    except ConfigError as error:  # some of these do not go together, which is Hydra's to say
        assert any(
            word in str(error) for word in ("unknown key", "cannot be set", "null", "no value", "merg")
        ), error
        return
    assert pairs
    for derived, composed in pairs:
        assert derived == composed
        assert repr(derived) == repr(composed)


def test_keys_interpolated_from_swept_ones_follow_each_trial():
    pairs = both_ways(
        ["+experiment=tiny", "seed=range(3)", "plugins.lora.r=2,4", "name=run_${seed}_${plugins.lora.r}"],
        random.Random(0),
        6,
    )
    assert [derived.name for derived, _ in pairs] == [
        "run_0_2",
        "run_0_4",
        "run_1_2",
        "run_1_4",
        "run_2_2",
        "run_2_4",
    ]
    assert all(derived == composed for derived, composed in pairs)
