"""Checks a run against every rule: those of launcher.plan.rules, of its method and of its plugins."""

import dataclasses
import functools
from collections.abc import Iterator

from launcher.errors import PlanError
from launcher.methods.registry import METHODS, find_method
from launcher.plan.combination import Combination
from launcher.plan.rules import RULES
from launcher.rule import TRAINER, Rule


def all_rules() -> list[Rule]:
    """Every rule of this project, sorted by number, with the names of the methods that it applies to."""
    rules = [*RULES, *(rule for method in METHODS.own() for rule in method.rules)]
    return [_named(rule) for rule in sorted(rules, key=lambda rule: rule.number)]


def broken_rules(run: Combination) -> Iterator[tuple[str, Rule]]:
    """(where it is listed, rule) for each rule that a run breaks: this project's sorted by number, then those of plugins."""
    for rule in _rules_of(run.trainer):
        if rule.broken(run):
            yield "python -m launcher rules", rule
    for where, rule in run.declared:
        if (rule.methods is None or rule.methods(run.method)) and rule.broken(run):
            yield where, rule


@functools.cache
def _rules_of(trainer: str) -> tuple[Rule, ...]:
    """This project's rules that apply to a method, sorted by number. A search asks for them hundreds of times."""
    method = find_method(trainer)
    rules = sorted((*RULES, *method.rules), key=lambda rule: rule.number)
    return tuple(rule for rule in rules if rule.methods is None or rule.methods(method))


def check_rules(run: Combination) -> None:
    """PlanError with the number of the first rule that a run breaks."""
    for where, rule in broken_rules(run):
        what = rule.what.replace(TRAINER, run.trainer)
        values = f" ({rule.values(run)})" if rule.values else ""
        raise PlanError(
            f"{what} does not work{values}: {rule.reason}; {rule.way_out} (rule {rule.number} of {where})"
        )


def _named(rule: Rule) -> Rule:
    about = rule.methods
    if about is None:
        return rule
    names = [name for name in METHODS.names() if about(find_method(name))]
    return dataclasses.replace(rule, what=rule.what.replace(TRAINER, " or ".join(names)))
