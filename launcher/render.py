"""LaunchPlan -> {name: text}: every file of a run that a person would read, diff or run by hand.

A string of the plan becomes a shell word by shlex.quote, and an #SBATCH value by `directive`; nothing else is
put into a script.
"""

import json
import shlex
from collections.abc import Sequence
from functools import cache

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from launcher.errors import PlanError
from launcher.plan import LaunchPlan
from launcher.resources import resource_dir

SCRIPTS = ("job.sbatch", "node.sh")
FILES = ("deepspeed.json", "accelerate.yaml", "plan.json", *SCRIPTS)
"""All that a run may have; the first only where DeepSpeed is used."""

# Source: bash(1), RESERVED WORDS.
# fmt: off
_KEYWORDS = frozenset([
    "!", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then",
    "until", "while", "{", "}", "time", "[[", "]]",
])
# fmt: on


def file_names(plan: LaunchPlan) -> list[str]:
    """The names of the files that `render` gives."""
    return [*FILES] if plan.deepspeed else [*FILES[1:]]


def render(plan: LaunchPlan) -> dict[str, str]:
    """The files of the run, by name."""
    texts = {
        "accelerate.yaml": yaml.safe_dump(dict(plan.accelerate), sort_keys=True),
        "plan.json": as_json(plan.to_dict()),
    }
    if plan.deepspeed is not None:
        texts["deepspeed.json"] = as_json(plan.deepspeed)
    environment = _environment()
    for script in SCRIPTS:
        texts[script] = environment.get_template(f"{script}.j2").render(plan=plan)
    return {name: texts[name] for name in file_names(plan)}


def render_script(template: str, **values: object) -> str:
    """A script that is no run's, from a template of slurm/."""
    return _environment().get_template(template).render(**values)


def as_json(value: object) -> str:
    """`value` as the JSON text of a file."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(resource_dir("slurm")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    filters = {"quote": shlex.quote, "command": command, "directive": directive}
    environment.filters.update(filters)  # pyright: ignore[reportUnknownMemberType] jinja2 does not type it
    return environment


def command(words: Sequence[str]) -> str:
    """A simple command, all of whose words are only that: `if`, `!` and `A=1` are command names too."""
    first = shlex.quote(words[0])
    syntax = words[0] in _KEYWORDS or "=" in words[0]
    return " ".join([f"'{first}'" if syntax and first == words[0] else first, *map(shlex.quote, words[1:])])


def directive(value: str) -> str:
    r"""A value after `#SBATCH --flag=`, so that sbatch reads it back letter by letter.

    sbatch ends an argument at a blank outside quotes, even an escaped one, and the line at a plain #; a backslash makes the
    next character plain. Source: Slurm's src/sbatch/opt.c, _get_argument, and the tests on a real cluster.
    PlanError for a character that could end the line.
    """
    if any(not character.isprintable() for character in value):
        raise PlanError(f"{value!r} holds a newline or control character, which an sbatch option cannot hold")
    escaped = "".join(f"\\{character}" if character in "\"'\\#" else character for character in value)
    return f'"{escaped}"' if " " in value else escaped
