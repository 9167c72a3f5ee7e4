"""All training methods by name, and the checks by a method's spec: of the trainer group, and of the rows to learn from."""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

from launcher.config import Config, TrainerConfig
from launcher.data.kinds import SPOKEN, conversion
from launcher.errors import DataError, PlanError, unknown
from launcher.methods.base import Key, Method
from launcher.registry import Registry

METHODS = Registry(
    kind="training method",
    key="trainer.kind",
    package="launcher.methods",
    group="launcher.methods",
    spec=Method,
    skipped=frozenset({"base", "registry", "keys"}),
)
# fmt: off
FOR_ALL = frozenset([
    "kind", "learning_rate", "num_train_epochs", "max_steps", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps",
    "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "loss_spike", "optim", "logging_steps",
    "eval_steps", "torch_compile", "activation_offloading", "mlp_tile_tokens", "precision", "args", "options",
])
# fmt: on
"""Keys of the trainer group that every method uses. For any other key that is set, all methods are imported and asked."""


@functools.cache
def find_method(kind: str) -> Method:
    """The spec of that trainer.kind; ConfigError with the nearest name if there is none."""
    return METHODS.find(kind)


def check_serves(trainer: str, path: str, kinds: Iterable[str]) -> None:
    """DataError if a method cannot learn from rows of these kinds; it names methods that can, and how to convert the rows."""
    wanted = find_method(trainer).learns_from
    for kind in kinds:
        if kind in wanted:
            continue
        others = [name for name in METHODS.names() if kind in find_method(name).learns_from]
        target = conversion(kind, wanted[0])
        written = f", or convert them: python -m launcher data convert {path} OUT --to {target}"
        if kind == "prompt" and "chat" in wanted:
            written = "; if a column holds the answer to learn, name it: data.columns={completion: COLUMN}"
        if kind == "classified":
            written = "; to train on the text alone: data.drop=[label]"
        if kind == "classified" and "labelled" in wanted:
            written = "; if the label says whether the last answer is good: data.columns={kto_tag: label}"
        if wanted[0] == "classified" and kind in ("text", "chat"):
            written = "; if a column holds the class, name it: data.columns={label: COLUMN}"
        raise DataError(
            f"{path} holds {SPOKEN[kind]}s, but trainer.kind={trainer} learns from "
            f"{' or '.join(f'{SPOKEN[one]}s' for one in wanted)}; use trainer={' or '.join(others)}"
            + (written if target or written.startswith(";") else "")
        )


def check_keys(config: Config) -> None:
    """PlanError for a key that the method does not use, a value that it does not allow, and anything its own check refuses."""
    trainer, kind = config.trainer, config.trainer.kind
    method = find_method(kind)
    _check_unused(trainer, method)
    for key in method.keys:
        _check_value(f"trainer.{key.name}", key, getattr(trainer, key.name))
    _check_options(trainer, method)
    if trainer.loss_type is not None and trainer.loss_type not in method.losses:
        raise PlanError(f"trainer.loss_type: {unknown(f'loss of {kind}', trainer.loss_type, method.losses)}")
    method.check(config)


def _check_value(name: str, key: Key, value: Any) -> None:
    if key.holds is None or value is None:
        return
    try:
        allowed = key.holds(value)
    except TypeError:  # an option has no declared type, so it can be text that is compared with a number
        allowed = False
    if not allowed:
        raise PlanError(f"{name}={value} must be {key.rule}")


def _check_options(trainer: TrainerConfig, method: Method) -> None:
    if not trainer.options:
        return
    from launcher.config.other_names import counterpart  # imported here because most runs have no options

    known = {option.name: option for option in method.options}
    for name, value in trainer.options.items():
        if name not in known and (found := counterpart(name)):
            raise PlanError(found.answer(f"trainer.options.{name}"))
        if not known:
            raise PlanError(
                f"trainer.options.{name}={value}: trainer.kind={trainer.kind} has no options; take it out"
            )
        if name not in known:
            raise PlanError(f"trainer.options.{name}: {unknown(f'option of {trainer.kind}', name, known)}")
        _check_value(f"trainer.options.{name}", known[name], value)


def _check_unused(trainer: TrainerConfig, method: Method) -> None:
    for field in dataclasses.fields(trainer):
        if field.name in FOR_ALL or field.name in method.key_names:
            continue
        value = getattr(trainer, field.name)
        if value in (field.default, None, []):
            continue
        if not any(field.name in own.key_names for own in METHODS.own()):
            continue
        users = [name for name in METHODS.names() if field.name in find_method(name).key_names]
        raise PlanError(
            f"trainer.{field.name}={value} is not used by trainer.kind={trainer.kind}, only by {', '.join(users)}; take it "
            f"out, or use trainer={' or '.join(users)}"
        )
