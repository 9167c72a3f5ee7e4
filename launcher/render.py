"""Renders the files of a LaunchPlan, as {name: text}: every file of a run that a person would read, compare or run by hand.

A string of the plan becomes a shell word by shlex.quote; the cluster writes the header. Nothing else is inserted into a script.
"""

import json
import shlex
from collections.abc import Sequence
from functools import cache

import yaml
from jinja2 import Environment, FunctionLoader, StrictUndefined

from launcher.clusters.registry import find_cluster
from launcher.plan import LaunchPlan
from launcher.resources import resource_dir
from launcher.run import JOB_SCRIPT

SCRIPTS = (JOB_SCRIPT, "node.sh")
FILES = ("deepspeed.json", "accelerate.yaml", "plan.json", *SCRIPTS)
"""All files that a run can have; deepspeed.json exists only if DeepSpeed is used."""

# Source: bash(1), RESERVED WORDS.
# fmt: off
_KEYWORDS = frozenset([
    "!", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then",
    "until", "while", "{", "}", "time", "[[", "]]",
])
# fmt: on


def file_names(plan: LaunchPlan) -> list[str]:
    """The names of the files that `render` returns."""
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
    place = find_cluster(plan.cluster)
    header = place.header(plan.job_options, plan.facts.run_dir)
    for script in SCRIPTS:
        template = environment.get_template(f"{script}.j2")
        texts[script] = template.render(plan=plan, place=place, header=header)
    return {name: texts[name] for name in file_names(plan)}


def render_script(template: str, **values: object) -> str:
    """A script that does not belong to one run, from a template of slurm/."""
    return _environment().get_template(template).render(**values)


def as_json(value: object) -> str:
    """`value` as the JSON text of a file."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(lambda name: (resource_dir("slurm") / name).read_text(encoding="utf-8")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    filters = {"quote": shlex.quote, "command": command}
    environment.filters.update(filters)  # pyright: ignore[reportUnknownMemberType] jinja2 does not type it
    return environment


def command(words: Sequence[str]) -> str:
    """A simple command with every word quoted, so that the shell takes even `if`, `!` and `A=1` as plain words."""
    first = shlex.quote(words[0])
    syntax = words[0] in _KEYWORDS or "=" in words[0]
    return " ".join([f"'{first}'" if syntax and first == words[0] else first, *map(shlex.quote, words[1:])])
