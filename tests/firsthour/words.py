"""A command of the documentation whose words are checked without running it."""

import shlex
from pathlib import Path

from launcher.cli.parser import parse
from launcher.cli.verb import Verb, find_verb, verb_names


def words_of(text: str) -> list[str]:
    """The arguments of the launcher in a command, without variables before it and the comment after it."""
    words = shlex.split(text.replace("\\\n", " "), comments=True)
    while "=" in words[0] and not words[0].startswith("-"):
        words = words[1:]
    return [
        str(Path(word).expanduser()) if word.startswith("~") else word
        for word in words[words.index("launcher") + 1 :]
    ]


def check_words(text: str) -> tuple[str, list[str]]:
    """The verb and its overrides; raises UsageError for a verb or an option that does not exist."""
    words = words_of(text)
    name = "launch"
    if words and words[0] in verb_names():
        name, *words = words
        if not isinstance(find_verb(name), Verb) and words and words[0] in verb_names(name):
            name, *words = f"{name} {words[0]}", *words[1:]
    verb = find_verb(name)
    assert isinstance(verb, Verb), text
    return name, list(getattr(parse(name, verb, words), "overrides", []))
