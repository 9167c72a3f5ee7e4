"""Help: all verbs by group, or the verbs of one group, one line each."""

from launcher.cli.find import all_verbs, find_verb, verb_names
from launcher.cli.parser import PROGRAM, make_parser
from launcher.cli.verb import GROUPS, Verb, Verbs
from launcher.errors import UsageError, unknown
from launcher.output import align

_HEAD = f"""usage: {PROGRAM} +experiment=NAME [key=value ...]   launch a run
       {PROGRAM} --config my_run.yaml [key=value ...]  launch what a file of your own says
       {PROGRAM} VERB ...                           one of the verbs below
"""
_TAIL = f"""{PROGRAM} VERB --help describes a verb and shows an example.
Every verb takes --json; then an error is JSON too: {{"error": {{"kind", "message", "exit_code"}}}} on stdout.
{PROGRAM} --version shows the version.
{PROGRAM} --cfg job +experiment=NAME shows a configuration, {PROGRAM} --hydra-help Hydra's own options.
eval "$(launcher --shell-completion install=bash)" switches tab completion on."""


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
