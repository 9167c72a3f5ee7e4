"""How the trainer group is checked by its method's spec."""

import dataclasses

from launcher.config import TrainerConfig
from launcher.methods.registry import FOR_ALL, METHODS


def test_a_key_that_every_method_uses_belongs_to_none_of_them():
    of_methods = {name for method in METHODS.own() for name in method.key_names}
    assert not FOR_ALL & of_methods
    assert {field.name for field in dataclasses.fields(TrainerConfig)} >= FOR_ALL
