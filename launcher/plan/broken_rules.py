"""Checks a run against every rule: those of launcher.plan.rules, of its method and of its plugins."""

import dataclasses
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
    own = sorted((*RULES, *run.method.rules), key=lambda rule: rule.number)
    for where, rule in (*(("python -m launcher rules", rule) for rule in own), *run.declared):
        if (rule.methods is None or rule.methods(run.method)) and rule.broken(run):
            yield where, rule


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
