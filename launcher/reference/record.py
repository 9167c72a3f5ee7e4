"""The pages of events.jsonl and metrics.jsonl: every kind of line, by whom it is written, and its fields."""

from collections.abc import Iterable, Iterator

from launcher.reference.markdown import code, page, table
from launcher.run.describe import FieldDoc, KindDoc, describe_events, describe_metrics, shared_fields
from launcher.run.events import VERSION, Event
from launcher.run.metrics import Line

_EVENTS = f"""What happened to a run, one JSON object per line in `events.jsonl`, appended and never changed. This is version
{VERSION} of the schema, the field `v`. A reader ignores kinds and fields that it does not know; a line without `v` is older."""
_METRICS = f"""What training logged, one JSON object per line in `metrics.jsonl`. This is version {VERSION} of the schema, the
field `v`. Numbers that a method or a plugin adds have names of their own."""


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
