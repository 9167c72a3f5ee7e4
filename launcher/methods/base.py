"""The spec of a training method: everything that this project must know about it before and during training."""

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from launcher.config import ArchitectureConfig, Config
from launcher.errors import ConfigError
from launcher.frozen_dataclass import frozen_dataclass
from launcher.rule import Rule


@frozen_dataclass
class Key:
    """A key of the trainer group that only some methods use, or an option of one method under trainer.options."""

    name: str
    """Its name without `trainer.` or `trainer.options.`."""
    holds: Callable[[Any], bool] | None = None
    """Whether a value is allowed; None allows every value. It is not called with null."""
    rule: str = ""
    """What is allowed, as the words after `must be` in the error."""
    passed: bool = True
    """Whether trl's class of arguments has a field of this name, which then gets the value. It is ignored for options."""
    default: Any = None
    """The default value of an option. The default of a key is that of its field in TrainerConfig."""


@frozen_dataclass
class Draws:
    """What a method generates while it trains."""

    answers: Callable[[Config], int]
    """Answers for each prompt. batch.global_batch_size counts answers and must be a multiple of it."""
    tokens: Callable[[Config], int]
    """Tokens of the longest answer."""
    on_ranks: bool = False
    """Whether transformers generates all answers of a step at once on the ranks that train, which the estimates count."""


def _no_passes(config: Config) -> int:
    return 0


def _nothing(config: Config) -> None:
    """No check."""


def _no_arguments(config: Config, accumulation: int) -> dict[str, Any]:
    return {}


@frozen_dataclass
class Method:
    """One training method. A module of this package, or an entry point of group `launcher.methods`, holds one as SPEC."""

    title: str
    """Its full name."""
    about: str
    """One or two sentences for the documentation: what it trains, and for which purpose."""
    source: str
    """The paper, or the page of the manual."""
    module: str
    """Module that builds it on the ranks: `arguments()` returns trl's class of arguments, and `make(parts)` returns the trainer
    for a launcher.train.methods.parts.Parts. It can be the spec's own module if torch is imported only in these functions."""
    learns_from: tuple[str, ...]
    """Kinds of rows: chat, pair, labelled, prompt, text, classified (launcher/data/kinds.py). An error suggests converting to
    the first."""
    keys: tuple[Key, ...] = ()
    """Method-specific keys of the trainer group that it uses. Other method-specific keys are refused."""
    options: tuple[Key, ...] = ()
    """Its own hyperparameters that are not fields of TrainerConfig: trainer.options.NAME sets one."""
    losses: tuple[str, ...] = ()
    """Values of trainer.loss_type, for a method that has this key."""
    arguments: Callable[[Config, int], dict[str, Any]] = _no_arguments
    """(config, gradient accumulation steps) -> arguments of trl's class besides those from `keys` and model.max_length."""
    max_length: bool = True
    """Whether trl's class of arguments has max_length, the longest sequence."""
    check: Callable[[Config], None] = _nothing
    """Raises PlanError for values that are not allowed together. It is called after each key was checked separately."""
    rules: tuple[Rule, ...] = ()
    """Combinations specific to this method that are known not to work. Methods of other packages raise in `check` instead."""
    unit: str = "sequences"
    """What batch.global_batch_size counts."""
    sequences: int = 1
    """Sequences of tokens per unit: 2 for a pair of answers."""
    extra_passes: Callable[[Config], int] = _no_passes
    """Forward passes over each sequence besides the trained one: by the reference model, or without gradients."""
    reference: Callable[[Config], bool] | None = None
    """Whether the loss compares the model with its state before training (the reference model); None if it never does."""
    teacher: Callable[[Config], str | None] | None = None
    """The hub id or folder of a frozen second model that predicts every trained token, or None if this run loads none; None if
    the method never has one."""
    draws: Draws | None = None
    """What it generates; None if it generates nothing."""
    scores: int = 0
    """Numbers that the model's head outputs instead of logits over the vocabulary; 0: the model predicts tokens, or classes."""
    classifies: bool = False
    """Whether the head outputs a number for each class of the training data (kind classified), instead of predicting tokens."""
    next_token_loss: bool = False
    """Whether the loss is the mean over predicted tokens, so that its exponential is a perplexity."""
    shares_base: bool = False
    """Whether sweep.together can train several of its trials on one base model, by launcher/train/lanes."""
    shares_sequences: bool = False
    """Whether its loss is a sum over tokens, so that ranks can share a sequence and add their parts."""
    disables_dropout: bool = False
    """Whether trl disables all dropout unless trainer.disable_dropout=false."""
    whole_logits: bool = False
    """Whether its trainer computes the logits of all tokens at once, in place of trl's fused head, which computes tiles."""
    not_estimated: str | None = None
    """The reason why memory and time are not estimated, as the words after a colon; None if they are estimated."""
    processes: Callable[[Config], int] = _no_passes
    """Processes that each rank starts for the whole training, such as those of reward functions."""
    fields: Mapping[str, tuple[type, ...]] = field(default_factory=dict[str, tuple[type, ...]])
    """Further fields of trl's class of arguments, and their types: trainer.args passes them on unchecked."""
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    """Fields of trl's class that trainer.args refuses for this method alone, with the reason."""
    figures: tuple[str, ...] = ()
    """Prefixes of names of figures that its trainer logs in addition to the loss; metrics.jsonl gets these figures."""

    def __post_init__(self) -> None:
        if self.not_estimated is None and self.draws is not None and not self.draws.on_ranks:
            raise ConfigError(
                f"the spec of {self.title} generates answers, which the memory estimate does not count; give the reason in "
                "not_estimated, or set on_ranks of draws if transformers generates them on the ranks"
            )

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of the keys that it uses."""
        return tuple(key.name for key in self.keys)

    def option(self, config: Config, name: str) -> Any:
        """The value of one of its options in this run."""
        default = next(option.default for option in self.options if option.name == name)
        return config.trainer.options.get(name, default)

    def has_reference(self, config: Config) -> bool:
        """Whether this run's loss compares the model with its state before training."""
        return self.reference is not None and self.reference(config)

    def teacher_of(self, config: Config) -> str | None:
        """The hub id or folder of the teacher that this run loads; None if it loads none."""
        return self.teacher(config) if self.teacher else None

    def generations(self, config: Config) -> int:
        """Answers for each prompt; 1 if none are generated."""
        return self.draws.answers(config) if self.draws else 1

    def completion_length(self, config: Config) -> int:
        """Most tokens of a generated answer; 0 if none are generated."""
        return self.draws.tokens(config) if self.draws else 0

    @property
    def own_head(self) -> bool:
        """Whether the model has a head of its own and predicts no tokens."""
        return self.outputs(0) > 0

    def outputs(self, classes: int) -> int:
        """Numbers that a head of its own outputs; 0 if the model predicts tokens. `classes`: those of the data, 0 if they are
        not known yet."""
        return max(classes, 1) if self.classifies else self.scores

    def count_parameters(self, shape: ArchitectureConfig, language_model: int, classes: int) -> int:
        """Parameters of the trained model, given those of the language model of this shape."""
        if not self.own_head:
            return language_model
        head = 0 if shape.tie_word_embeddings else shape.vocab_size * shape.hidden_size
        return language_model - head + self.count_head(shape, classes)

    def count_head(self, shape: ArchitectureConfig, classes: int) -> int:
        """Parameters of its own head, which is trained whole also with an adapter; 0 if the model predicts tokens."""
        return self.outputs(classes) * shape.hidden_size

    def trainer_arguments(self, config: Config, accumulation: int) -> dict[str, Any]:
        """The method's keyword arguments, in the spelling of trl's class; keys without a value keep trl's default."""
        named = {key.name: getattr(config.trainer, key.name) for key in self.keys if key.passed}
        return {
            **({"max_length": config.model.max_length} if self.max_length else {}),
            **{name: value for name, value in named.items() if value is not None},
            **self.arguments(config, accumulation),
        }
