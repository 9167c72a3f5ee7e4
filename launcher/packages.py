"""Python packages that a part of a run needs, and which of them are missing here."""

import importlib.util
from collections.abc import Iterable

from launcher.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Package:
    """A package that the ranks import."""

    module: str
    """Name under which it is imported."""
    name: str
    """Name under which it is installed."""
    install: str
    """The command that installs it."""


def missing(packages: Iterable[Package]) -> list[Package]:
    """Those of the packages that the running Python cannot import; nothing is imported."""
    return [package for package in packages if importlib.util.find_spec(package.module) is None]


_BASE = ("hydra", "omegaconf", "antlr4", "jinja2", "yaml", "ruamel", "rich", "numpy")
_TRAIN = (
    "torch", "transformers", "tokenizers", "accelerate", "deepspeed", "peft", "trl", "bitsandbytes", "datasets", "safetensors",
    "huggingface_hub",
)  # fmt: skip
TRAINING_STACK = "pip install -e '.[train]' in the launcher's checkout installs the training stack"
"""The way out for a Python without torch."""


def install_line(module: str) -> str | None:
    """The command that installs what this project needs of that name; None for a module that it does not need."""
    top = module.partition(".")[0]
    if top in _TRAIN:
        return TRAINING_STACK
    return "pip install -e . in the launcher's checkout installs what is missing" if top in _BASE else None
