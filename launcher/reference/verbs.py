"""The page of verbs: what each does, its options and examples, from its own parser."""

import argparse
from collections.abc import Iterator

from launcher.cli.parser import PROGRAM, make_parser
from launcher.cli.verb import GROUPS, Verb, all_verbs
from launcher.reference.markdown import code, page, table

_INTRO = """Every verb takes `--help` and `--json`. Under `--json` an error is JSON on stdout as well,
`{"error": {"kind", "message", "exit_code"}}`; the one line for a person is on stderr in any case. `launcher` is the same
command as `python -m launcher`."""


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
