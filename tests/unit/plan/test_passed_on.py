"""trainer.args: what has no key of its own arrives in transformers' arguments, and everything else is answered."""

import dataclasses
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from launcher.config.other_names import counterpart
from launcher.errors import PlanError
from launcher.launching.plan_warnings import unchecked
from launcher.plan.passed_on import _OWN, FIELDS, SET_HERE
from launcher.run import RunDir
from launcher.train.methods.choose import make_arguments

TINY = ("+experiment=tiny",)


def test_what_is_passed_on_arrives_in_transformers_own_arguments(plan, compose, tmp_path):
    values = ("eval_delay=3", "full_determinism=false", "optim_args='a=1'", "tf32=null")
    typed = [f"++trainer.args.{value}" for value in values]
    made = plan(*TINY, *typed, device="cpu")
    assert made.trainer_args["eval_delay"] == 3
    assert "tf32" not in made.trainer_args
    args = make_arguments(RunDir(tmp_path), made)
    assert (args.eval_delay, args.optim_args) == (3, "a=1")
    (said,) = unchecked(compose(*TINY, *typed))
    assert (
        "trainer.args passes eval_delay, full_determinism, optim_args, tf32 on to transformers unchecked"
        in said
    )


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("learning_rate=1", "trainer.args.learning_rate: here trainer.learning_rate"),
        ("eval_steps=1", "trainer.args.eval_steps: here trainer.eval_steps"),
        ("bf16=true", "trainer.args.bf16: here trainer.precision, as trainer.precision=bf16"),
        ("dataloader_num_workers=2", "trainer.args.dataloader_num_workers: here data.num_workers"),
        (
            "ignore_data_skip=true",
            "trainer.args.ignore_data_skip cannot be set: the launcher's own order of rows",
        ),
        ("eval_delai=3", "unknown field of TrainingArguments 'eval_delai'; did you mean eval_delay?"),
        ("eval_delay=ten", "trainer.args.eval_delay=ten must be a whole number or a number"),
        ("tf32=1", "trainer.args.tf32=1 must be true or false"),
        ("torch_empty_cache_steps=1.5", "trainer.args.torch_empty_cache_steps=1.5 must be a whole number"),
    ],
)
def test_every_other_field_is_answered_in_one_line(plan, typed: str, said: str):
    with pytest.raises(PlanError) as refused:
        plan(*TINY, f"++trainer.args.{typed}")
    assert said in str(refused.value)


def test_every_field_of_transformers_is_passed_on_or_has_its_key_or_its_reason():
    from transformers import TrainingArguments

    names = {field.name for field in dataclasses.fields(TrainingArguments) if field.init}
    own = {key.rpartition(".")[2] for key in _OWN}
    assert not [
        name for name in names if not (name in FIELDS or name in SET_HERE or name in own or counterpart(name))
    ]
    assert not (set(FIELDS) | set(SET_HERE) | own) - names
    assert not set(FIELDS) & set(SET_HERE)


def test_the_types_are_those_of_transformers():
    from transformers import TrainingArguments

    hints = get_type_hints(TrainingArguments)
    for name, kinds in FIELDS.items():
        assert set(kinds) <= _plain(hints[name]), name


def _plain(hint: Any) -> set[Any]:
    """The classes of a hint; a number may also be whole, and text may stand for an enum."""
    if get_origin(hint) in (Union, UnionType):
        return set().union(*map(_plain, get_args(hint)))
    plain = get_origin(hint) or hint
    return {float, int} if plain is float else {plain}
