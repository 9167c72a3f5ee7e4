"""The page of training methods, by their specs."""

from launcher.data.kinds import SPOKEN
from launcher.methods.base import Method
from launcher.methods.registry import METHODS, find_method
from launcher.reference.markdown import code, page, table

_INTRO = """`trainer=NAME` chooses a method with the usual values of its keys. `trainer.kind=NAME` alone leaves the other keys
as they are; it also names a method of another package (entry-point group `launcher.methods`). A key of the trainer group
that is named below belongs to the methods that name it: the others refuse it."""


def methods_page() -> str:
    """docs/reference/methods.md."""
    parts: list[str] = []
    for name in METHODS.own_names():
        spec = find_method(name)
        parts += [f"## {name}: {spec.title}", spec.about, table(("property", "value"), _rows(spec))]
    return page("Training methods", _INTRO, *parts)


def _rows(spec: Method) -> list[tuple[str, str]]:
    ranges = [f"{code(key.name)}" + (f" ({key.rule})" if key.rule else "") for key in spec.keys]
    rows = [
        ("source", spec.source),
        ("learns from", " or ".join(f"{SPOKEN[kind]}s" for kind in spec.learns_from)),
        ("`batch.global_batch_size` counts", spec.unit),
        ("keys of its own", ", ".join(ranges)),
    ]
    if spec.options:
        rows.append(("options", ", ".join(code(f"trainer.options.{one.name}") for one in spec.options)))
    if spec.losses:
        rows.append(("`trainer.loss_type`", ", ".join(code(loss) for loss in spec.losses)))
    if spec.reference is not None:
        rows.append(("reference model", "the model before training; of an adapter, the model without it"))
    if spec.disables_dropout:
        rows.append(("dropout", "off, unless `trainer.disable_dropout=false`"))
    estimated = "estimated" if spec.not_estimated is None else f"not estimated: {spec.not_estimated}"
    return [*rows, ("memory and time", estimated)]
