"""All reference pages by name; those of events, metrics, exit codes, rules and methods are made here."""

from collections.abc import Iterable, Iterator

from launcher.config.keys import member_docs
from launcher.data.kinds import SPOKEN
from launcher.errors import Exit
from launcher.methods.base import Method
from launcher.methods.registry import METHODS, find_method
from launcher.plan.broken_rules import all_rules
from launcher.reference.markdown import code, page, table
from launcher.reference.settings import environment_page, keys_page, other_names_page, plugins_page
from launcher.reference.verbs import json_page, verbs_page
from launcher.run.describe import FieldDoc, KindDoc, describe_events, describe_metrics, shared_fields
from launcher.run.events import VERSION, Event
from launcher.run.metrics import Line

_EVENTS = f"""What happened to a run, one JSON object per line in `events.jsonl`, appended and never changed. This is version
{VERSION} of the schema, the field `v`. A reader ignores kinds and fields that it does not know; a line without `v` is older."""
_METRICS = f"""What training logged, one JSON object per line in `metrics.jsonl`. This is version {VERSION} of the schema, the
field `v`. Numbers that a method or a plugin adds have names of their own."""
_METHOD = """`trainer=NAME` chooses a method with the usual values of its keys. `trainer.kind=NAME` alone leaves the other keys
as they are; it also names a method of another package (entry-point group `launcher.methods`). A key of the trainer group
that is named below belongs to the methods that name it: the others refuse it."""


def pages() -> dict[str, str]:
    """The text of each page by the name of its file, without `.md`."""
    return {
        "keys": keys_page(),
        "verbs": verbs_page(),
        "json": json_page(),
        "plugins": plugins_page(),
        "methods": methods_page(),
        "other_names": other_names_page(),
        "events": events_page(),
        "metrics": metrics_page(),
        "exit_codes": exit_codes_page(),
        "rules": rules_page(),
        "environment": environment_page(),
    }


def events_page() -> str:
    """docs/reference/events.md."""
    return page("Events", _EVENTS, *_parts("Every event", shared_fields(Event), describe_events()))


def metrics_page() -> str:
    """docs/reference/metrics.md."""
    return page("Metrics", _METRICS, *_parts("Every line", shared_fields(Line), describe_metrics()))


def _parts(heading: str, shared: Iterable[FieldDoc], kinds: Iterable[KindDoc]) -> Iterator[str]:
    yield f"## {heading}"
    yield _fields(shared)
    for kind in kinds:
        yield f"## {kind.name}"
        yield f"{kind.doc} Written by: {' '.join(kind.writer.split())}" if kind.writer else kind.doc
        if kind.fields:
            yield _fields(kind.fields)


def _fields(fields: Iterable[FieldDoc]) -> str:
    rows = [
        (code(field.name), code(field.type), "yes" if field.required else "", field.doc) for field in fields
    ]
    return table(("field", "type", "always", "meaning"), rows)


def exit_codes_page() -> str:
    """docs/reference/exit_codes.md."""
    docs = member_docs(Exit)
    rows = [(str(int(code_)), code(code_.name), docs[code_.name]) for code_ in sorted(Exit)]
    intro = "What every process of this project says by its exit code. A shell shows 128 + N for a process that signal N ended."
    return page("Exit codes", intro, table(("code", "name", "meaning"), rows))


def rules_page() -> str:
    """docs/reference/rules.md."""
    rows = [(str(rule.number), rule.what, rule.reason, rule.way_out) for rule in all_rules()]
    intro = "Combinations that are known not to work: a plan that breaks one is refused. `launcher rules` prints them."
    return page("Rules", intro, table(("rule", "combination", "what happens", "way out"), rows))


def methods_page() -> str:
    """docs/reference/methods.md."""
    parts: list[str] = []
    for name in METHODS.own_names():
        spec = find_method(name)
        parts += [f"## {name}: {spec.title}", spec.about, table(("property", "value"), _rows(spec))]
    return page("Training methods", _METHOD, *parts)


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
