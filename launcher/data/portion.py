"""Which rows a run uses, and what a check of them looks at.

data.max_samples limits their number, and data.eval_fraction is the share that is held out. launcher.data.held_out makes the
choice; a launch whose data is known does not need it.
"""

from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launcher.config import Config, EvalCopies
from launcher.data.reading import AS_IT_STANDS, Reading
from launcher.errors import ConfigError
from launcher.frozen_dataclass import frozen_dataclass

if TYPE_CHECKING:
    from launcher.data.template import ChatTemplate


USUAL, BYTES = 4.0, 1.0
"""Bytes per token that are assumed without a tokenizer: for a usual tokenizer, and for one whose tokens are bytes."""


@frozen_dataclass
class Portion:
    """The values of the keys of these names in the data group."""

    eval_fraction: float | None = None
    eval_copies: str = EvalCopies.near.name
    eval_group: str | None = None
    max_samples: int | None = None
    eval_max_samples: int | None = None
    seed: int = 0

    def problem(self, eval_path: object = None) -> tuple[str, str] | None:
        """The name that is wrong, and why as the words after its value; None if all values can be used."""
        fraction = self.eval_fraction
        if fraction is not None and not 0 < fraction < 1:
            return "eval_fraction", "must be above 0 and below 1: 0.05 holds out 5 % of the rows"
        if fraction is not None and eval_path is not None:
            return (
                "eval_fraction",
                f"and data.eval_path={eval_path} are both given; add data.eval_path=null, or leave eval_fraction out",
            )
        if self.eval_group is not None and fraction is None:
            return "eval_group", "needs data.eval_fraction, whose rows it keeps together; set it"
        if self.eval_copies != EvalCopies.near.name and fraction is None:
            return "eval_copies", "needs data.eval_fraction, whose rows it keeps together; set it"
        for name, least in (("max_samples", 2 if fraction else 1), ("eval_max_samples", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                return name, f"must be at least {least}" + (
                    ", one to train on and one to hold out" if least > 1 else ""
                )
        return None


def asked_portion(config: Config) -> Portion:
    """The portion that this run asks for; ConfigError for values that cannot be used."""
    data = config.data
    portion = Portion(
        eval_fraction=data.eval_fraction,
        eval_copies=data.eval_copies.name,
        eval_group=data.eval_group,
        max_samples=data.max_samples,
        eval_max_samples=data.eval_max_samples,
        seed=config.seed,
    )
    if problem := portion.problem(data.eval_path):
        name, why = problem
        raise ConfigError(f"data.{name}={getattr(portion, name)} {why}")
    return portion


@frozen_dataclass
class Sizes:
    """How a file is divided, in bytes."""

    small: int = 1 << 19
    """Up to this size a file is compared by sets, without numpy, whose import would take most of the time."""
    block: int = 4 << 20
    """The part of a larger file that a process counts at once."""


@frozen_dataclass
class CheckOptions:
    """The options of a check."""

    path: str | Path
    eval_path: str | Path | None = None
    tasks: tuple[str, ...] = ()
    """YAML files of benchmark tasks, and files of their documents, that the training rows must not overlap with."""
    reading: Reading = AS_IT_STANDS
    max_length: int = 2048
    bytes_per_token: float = USUAL
    tokenizer: Any = None
    template: "ChatTemplate | None" = None
    """The model's chat template, if there is no tokenizer: rows are rendered with it, but not counted."""
    assistant_only: bool = True
    compare: bool = True
    """Look for duplicates and for overlap with eval_path and tasks."""
    sample: int = 0
    """Number of examples to select for a person to read."""
    portion: Portion = field(default_factory=Portion)
    """The rows that a run uses, and those that it holds out."""
    divided: Sizes = field(default_factory=Sizes)
    """How the files are divided among processes."""
