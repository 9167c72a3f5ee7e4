"""Classification of texts and chats."""

from launcher.config import Config
from launcher.errors import PlanError
from launcher.methods.base import Key, Method

_WEIGHTS = ("balanced",)


def _check(config: Config) -> None:
    if config.trainer.activation_offloading:
        raise PlanError(
            "trainer.activation_offloading=true belongs to trl's trainers, and trainer.kind=classify has a trainer of its own; "
            "take it out, or use plugin=[gradient_checkpointing]"
        )
    labels = config.trainer.labels
    if labels is None:
        return
    named: set[str] = set()
    for label in labels:
        if label in named or not label.strip():
            raise PlanError(
                f"trainer.labels={list(labels)} must name each class once, and {label!r} is "
                f"{'there twice' if label in named else 'blank'}; take it out"
            )
        named.add(label)
    if len(labels) < 2 and not config.trainer.multi_label:
        raise PlanError(
            f"trainer.labels={list(labels)} must name at least 2 classes; add the others, or use trainer.labels=null for those "
            "of the training rows"
        )


SPEC = Method(
    title="text classification",
    about="Trains a model that sorts a text or a chat into classes: a new head outputs a number for each class at the last "
    "token. The names of the classes are those of the training rows, and the export's config.json has them.",
    source="Radford et al., Improving Language Understanding by Generative Pre-Training (2018), section 3.2",
    module="launcher.train.methods.classify",
    learns_from=("classified",),
    keys=(
        Key(name="labels", passed=False),
        Key(name="multi_label", passed=False),
        Key(
            name="class_weight",
            passed=False,
            holds=_WEIGHTS.__contains__,
            rule="balanced, or null for equal weights",
        ),
    ),
    check=_check,
    classifies=True,
    figures=("accuracy", "macro_f1", "calibration_error", "micro_f1"),
)
