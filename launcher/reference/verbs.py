"""The pages of verbs: what each does, its options and examples, from its own parser, and what it prints under --json."""

import argparse
from collections.abc import Iterator
from typing import Any, cast, get_args, get_origin

from launcher.cli.parser import PROGRAM, make_parser
from launcher.cli.run import ErrorReport
from launcher.cli.verb import GROUPS, NOTHING, Verb, all_verbs
from launcher.errors import ConfigError
from launcher.reference.markdown import code, page, table
from launcher.reference.shapes import alternatives, fields_of, is_object, nested, spell, summary, undocumented

_INTRO = """Every verb takes `--help` and `--json`. Under `--json` an error is JSON on stdout as well,
`{"error": {"kind", "message", "exit_code"}}`; the one line for a person is on stderr in any case. `launcher` is the same
command as `python -m launcher`."""
_JSON = """Every verb takes `--json` and then prints JSON on stdout: one document, or one for each run where a command line has
several. Warnings and progress are on stderr. A field of the column *always* is in every such object, and is null where its
type says so; a number that is NaN or infinite is null. A later version may add fields; a reader ignores those that it does
not know."""


def verbs_page() -> str:
    """docs/reference/verbs.md."""
    parts: list[str] = []
    for group, heading in GROUPS.items():
        parts.append(f"## {heading}")
        for name, verb in all_verbs().items():
            if verb.group == group:
                parts += _verb(name, verb)
    return page("Verbs", _INTRO, *parts)


def _verb(name: str, verb: Verb) -> Iterator[str]:
    parser = make_parser(name, verb)
    yield f"### {name}"
    yield f"{verb.line[0].upper()}{verb.line[1:]}. {verb.about}".strip()
    yield "\n".join(f"    {PROGRAM} {words}" for words in verb.example.splitlines())
    rows = [(code(_name(action)), action.help or "") for action in _actions(parser)]
    if rows:
        yield table(("argument", "meaning"), rows)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # pyright: ignore[reportPrivateUsage]  # argparse has no public list of them
        if action.dest not in ("help", "json"):
            yield action


def _name(action: argparse.Action) -> str:
    shown = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices is not None:
        shown = "|".join(str(choice) for choice in action.choices)
    if not action.option_strings:
        return shown
    longest = max(action.option_strings, key=len)
    return longest if action.nargs == 0 else f"{longest} {shown}"


def json_page() -> str:
    """docs/reference/json.md; ConfigError for a verb or a field that is not declared."""
    parts = [
        "## Errors",
        "Instead of its result, a command that fails prints this object.",
        _table(ErrorReport),
    ]
    below: list[Any] = nested(ErrorReport)
    bare: list[str] = undocumented(ErrorReport)
    for name, verb in all_verbs().items():
        parts += [f"## {name}", *_json_verb(name, verb)]
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
    return page("JSON", _JSON, *parts)


def _shapes(name: str, verb: Verb) -> dict[str, Any]:
    if verb.printed is None:
        raise ConfigError(
            f"the verb {name} does not say what it prints under --json; set `prints` in its Verb (see CONTRIBUTING.md)"
        )
    return {} if verb.printed == NOTHING else alternatives(verb.printed)


def _json_verb(name: str, verb: Verb) -> Iterator[str]:
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
