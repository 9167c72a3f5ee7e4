"""What helps to type: all verbs by group, or the verbs of one group, one line each; and tab completion.

Completion is Hydra's own for keys and values, with our verbs, for `launcher` and for `python -m launcher`.
"""

import os

from launcher.cli.parser import PROGRAM, make_parser
from launcher.cli.verb import GROUPS, Verb, Verbs, all_verbs, find_verb, verb_names
from launcher.errors import UsageError, unknown
from launcher.output import align, print_text

_HEAD = f"""usage: {PROGRAM} +experiment=NAME [key=value ...]   launch a run
       {PROGRAM} --config my_run.yaml [key=value ...]  launch what a file of your own says
       {PROGRAM} VERB ...                           one of the verbs below
"""
_TAIL = f"""{PROGRAM} VERB --help describes a verb and shows an example.
Every verb takes --json; then an error is JSON too: {{"error": {{"kind", "message", "exit_code"}}}} on stdout.
{PROGRAM} --version shows the version.
{PROGRAM} --cfg job +experiment=NAME shows a configuration, {PROGRAM} --hydra-help Hydra's own options.
eval "$(launcher --shell-completion install=bash)" switches tab completion on."""
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


def help_text(name: str = "") -> str:
    """The output of `launcher help` or `launcher help NAME`; UsageError for an unknown name."""
    if not name:
        return _overview()
    group, _, rest = name.partition(" ")
    known = verb_names(group) if rest else verb_names()
    if (rest or group) not in known:
        raise UsageError(unknown("verb", name, known))
    verb = find_verb(name)
    return make_parser(name, verb).format_help().rstrip() if isinstance(verb, Verb) else _group(name, verb)


def _overview() -> str:
    verbs = all_verbs()
    parts = [_HEAD.rstrip()]
    for group, heading in GROUPS.items():
        lines = [(f"  {name}", verb.line) for name, verb in verbs.items() if _group_of(name) == group]
        parts.append(f"{heading}\n{align(lines)}")
    return "\n\n".join([*parts, _TAIL])


def _group_of(name: str) -> str:
    return find_verb(name.partition(" ")[0]).group


def _group(name: str, verbs: Verbs) -> str:
    names = verb_names(name)
    lines = [(f"  {one}", find_verb(f"{name} {one}").line) for one in names]
    examples = "\n         ".join(f"{PROGRAM} {words}" for words in verbs.example.splitlines())
    about = f"\n{verbs.about}\n" if verbs.about else ""
    return (
        f"usage: {PROGRAM} {name} {'|'.join(names)} ...\n\n{verbs.line[0].upper()}{verbs.line[1:]}.\n{about}\n"
        f"{align(lines)}\n\nexample: {examples}"
    )


def complete(words: list[str]) -> int:
    """The exit code; prints the answer to Hydra's `--shell-completion install=bash | query=bash | ...`."""
    if "query=bash" in words and _complete_verb(os.environ.get("COMP_LINE", "")):
        return 0
    from launcher.launching.compose import compose

    compose(words)
    if "install=bash" in words:
        print_text(_FOR_PYTHON)
    return 0


def _complete_verb(line: str) -> bool:
    """Whether the current word is a verb; then its candidates are printed. Otherwise COMP_LINE is rewritten for Hydra."""
    typed = line.split()[1:]
    last = "" if line.endswith(" ") or not typed else typed.pop()
    if not typed and last.replace("-", "").isalpha() and last[0] != "-":
        print_text(" ".join(name for name in verb_names() if name.startswith(last)))
        return True
    if typed and typed[0] in verb_names():
        verb = find_verb(typed[0])
        if not isinstance(verb, Verb):
            print_text(
                " ".join(name for name in verb_names(typed[0]) if name.startswith(last))
                if len(typed) == 1
                else ""
            )
            return True
        os.environ["COMP_LINE"] = " ".join(["launcher", *typed[1:], last])
    return False
