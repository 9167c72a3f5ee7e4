"""Tab completion: Hydra's own for keys and values, with our verbs, for `launcher` and for `python -m launcher`."""

import os

from launcher.cli.find import find_verb, verb_names
from launcher.cli.verb import Verb

_FOR_PYTHON = """
launcher_python_completion()
{
    if [[ "$COMP_LINE" =~ ^[^\\ ]+\\ +-m\\ +launcher\\  ]]; then
        local line="launcher ${COMP_LINE:${#BASH_REMATCH[0]}}"
        local choices=$(COMP_POINT=${#line} COMP_LINE="$line" ${COMP_WORDS[0]} -m launcher -sc query=bash)
        COMPREPLY=($(compgen -o nospace -o default -W "$choices" -- "${COMP_WORDS[COMP_CWORD]}"))
    fi
}
complete -o nospace -o default -F launcher_python_completion python python3"""


def complete(words: list[str]) -> int:
    """The exit code; prints the answer to Hydra's `--shell-completion install=bash | query=bash | ...`."""
    if "query=bash" in words and _complete_verb(os.environ.get("COMP_LINE", "")):
        return 0
    from launcher.launching.compose import compose

    compose(words)
    if "install=bash" in words:
        print(_FOR_PYTHON)
    return 0


def _complete_verb(line: str) -> bool:
    """Whether the current word is a verb; then its candidates are printed. Otherwise COMP_LINE is rewritten for Hydra."""
    typed = line.split()[1:]
    last = "" if line.endswith(" ") or not typed else typed.pop()
    if not typed and last.replace("-", "").isalpha() and last[0] != "-":
        print(" ".join(name for name in verb_names() if name.startswith(last)))
        return True
    if typed and typed[0] in verb_names():
        verb = find_verb(typed[0])
        if not isinstance(verb, Verb):
            print(
                " ".join(name for name in verb_names(typed[0]) if name.startswith(last))
                if len(typed) == 1
                else ""
            )
            return True
        os.environ["COMP_LINE"] = " ".join(["launcher", *typed[1:], last])
    return False
