"""The page of JSON: what every verb prints under --json, field by field."""

from collections.abc import Iterator
from typing import Any, cast, get_args, get_origin

from launcher.cli.find import all_verbs
from launcher.cli.run import ErrorReport
from launcher.cli.verb import NOTHING, Verb
from launcher.errors import ConfigError
from launcher.reference.markdown import code, page, table
from launcher.reference.shapes import alternatives, fields_of, is_object, nested, spell, summary, undocumented

_INTRO = """Every verb takes `--json` and then prints JSON on stdout: one document, or one for each run where a command line has
several. Warnings and progress are on stderr. A field of the column *always* is in every such object, and is null where its
type says so; a number that is NaN or infinite is null. A later version may add fields; a reader ignores those that it does
not know."""


def json_page() -> str:
    """docs/reference/json.md; ConfigError for a verb or a field that is not declared."""
    parts = [
        "## Errors",
        "In place of its result, a command that fails prints this object.",
        _table(ErrorReport),
    ]
    below: list[Any] = nested(ErrorReport)
    bare: list[str] = undocumented(ErrorReport)
    for name, verb in all_verbs().items():
        parts += [f"## {name}", *_verb(name, verb)]
        for shape in _shapes(name, verb).values():
            bare += undocumented(shape)
            below += [one for one in nested(shape) if one not in below]
    if bare:
        raise ConfigError(
            f"printed under --json without a docstring: {', '.join(dict.fromkeys(bare))}; write one below each field"
        )
    parts.append("# Objects")
    for one in sorted(below, key=lambda one: one.__name__.lower()):
        parts += [f"## {one.__name__}", summary(one), _table(one)]
    return page("JSON", _INTRO, *parts)


def _shapes(name: str, verb: Verb) -> dict[str, Any]:
    if verb.printed is None:
        raise ConfigError(
            f"the verb {name} does not say what it prints under --json; set `prints` in its Verb (see CONTRIBUTING.md)"
        )
    return {} if verb.printed == NOTHING else alternatives(verb.printed)


def _verb(name: str, verb: Verb) -> Iterator[str]:
    if verb.printed == NOTHING:
        yield "It prints no result."
    for when, shape in _shapes(name, verb).items():
        if when:
            yield f"**{when}**"
        if isinstance(shape, tuple) or is_object(shape):
            yield summary(cast("Any", shape))
            yield _table(cast("Any", shape))
        else:
            yield _sentence(shape)


def _sentence(shape: Any) -> str:
    """A document that is a list or a mapping, in words."""
    text = spell(shape)
    of = next((one for one in get_args(shape) if is_object(one)), None)
    meaning = f" {summary(of)}" if of is not None and get_origin(shape) is not None else ""
    return f"A {text}.{meaning}"


def _table(shape: Any) -> str:
    rows = [
        (code(field.name), spell(field.hint), "yes" if field.always else "", field.doc)
        for field in fields_of(shape)
    ]
    return table(("field", "type", "always", "meaning"), rows)
