"""The trainer group of a run, checked by its method."""

import dataclasses

from launcher.config import Config, TrainerConfig
from launcher.errors import PlanError, unknown
from launcher.methods.base import Method
from launcher.methods.registry import METHODS, find_method


def check_keys(config: Config) -> None:
    """PlanError for a key that the method does not use, for a value that it does not allow, and for what its check refuses."""
    trainer, kind = config.trainer, config.trainer.kind
    method = find_method(kind)
    _check_unused(trainer, method)
    for key in method.keys:
        value = getattr(trainer, key.name)
        if key.holds is not None and value is not None and not key.holds(value):
            raise PlanError(f"trainer.{key.name}={value} must be {key.rule}")
    if trainer.loss_type is not None and trainer.loss_type not in method.losses:
        raise PlanError(f"trainer.loss_type: {unknown(f'loss of {kind}', trainer.loss_type, method.losses)}")
    method.check(config)


def _check_unused(trainer: TrainerConfig, method: Method) -> None:
    of_methods = {name for own in METHODS.own() for name in own.key_names}
    for field in dataclasses.fields(trainer):
        if field.name not in of_methods or field.name in method.key_names:
            continue
        value = getattr(trainer, field.name)
        if value in (field.default, None, []):
            continue
        users = [name for name in METHODS.names() if field.name in find_method(name).key_names]
        raise PlanError(
            f"trainer.{field.name}={value} is not used by trainer.kind={trainer.kind}, but by {', '.join(users)}; take it "
            f"out, or use trainer={' or '.join(users)}"
        )
