"""The groups of a sweep whose trials are planned: who trains with whom, and what the user reads about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from launcher.config import Config, SweepConfig
from launcher.errors import ConfigError
from launcher.launching.summary import cannot_save
from launcher.plan import LaunchPlan
from launcher.plugins.base import make_plugins
from launcher.sweep.printed import Together
from launcher.sweep.together.grouping import Fit, differing, fit_of
from launcher.sweep.together.size import Size, asked_trials, choose_size
from launcher.units import plural

_SHOWN = 4
"""Most keys, values of a key, and reasons that are printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A planned trial, and what decides its group."""

    number: int
    fit: Fit
    config: Config
    plan: LaunchPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialGroups:
    """The groups of a sweep."""

    size: Size
    members: Sequence[Member]
    sampled: bool
    """Whether a sampler chooses the trials, of which `members` are only the ends of the search space."""

    def key_of(self, number: int) -> str | None:
        """What a trial has in common with those that it can train with; None if it runs alone."""
        if self.size.trials < 2:
            return None
        return next((one.fit.key for one in self.members if one.number == number), None)

    def spec(self) -> dict[str, Any]:
        """The entry `together` of sweep.json."""
        return {
            "trials": self.size.trials, "mixed": self.size.mixed, "why": self.size.why,
            "key": self.members[0].fit.key if self.sampled else None,
        }  # fmt: skip

    def report(self) -> Together:
        """The groups as JSON."""
        alone = {str(one.number): one.fit.why_alone for one in self.members if one.fit.why_alone}
        size = self.size
        return {
            "trials": size.trials, "mixed": size.mixed, "why": size.why, "gib": size.gib, "one_gib": size.one_gib,
            "alone": alone,
        }  # fmt: skip

    def tasks(self, numbers: Sequence[int]) -> list[int]:
        """Of these trials, those for which a task of an array is queued: one for each group, and one for each lone trial."""
        found: list[int] = []
        seen: dict[str, int] = {}
        for number in numbers:
            key = self.key_of(number)
            at = seen.get(key, 0) if key else 0
            if key:
                seen[key] = at + 1
            if at % self.size.trials == 0:
                found.append(number)
        return found

    def lines(self) -> list[str]:
        """Lines that say who trains together, on how much memory, and who trains alone and why."""
        size = self.size
        alone = [one for one in self.members if one.fit.why_alone]
        keys = list(dict.fromkeys(one.fit.key for one in self.members if one.fit.key))
        found: list[str] = []
        if size.trials > 1 and keys:
            groups = "one group at a time" if self.sampled else plural(self._count(), "group")
            per = f"{size.trials} trials per GPU" if self._on_gpu() else f"{size.trials} trials per rank"
            found.append(f"together  {per}, {groups}; {size.why}")
            if size.gib is not None:
                found.append(f"          {size.gib:.1f} GiB of a GPU for all, {size.one_gib:.1f} GiB for one")
            if late := cannot_save(self.members[0].plan, size.trials):
                found.append(f"          {late}")
        elif keys:
            found.append(
                "together  no: only one trial fits at a time, or only one trial can share its base model"
            )
        if len(keys) > 1:
            apart = differing([one.fit for one in self.members if one.fit.key])
            named = "; ".join(
                f"{key}={','.join(values[:_SHOWN])}" for key, values in list(apart.items())[:_SHOWN]
            )
            found.append(
                f"          {len(keys)} kinds of trials, each in groups of its own, because these keys differ: {named}"
            )
        reasons = list(dict.fromkeys(str(one.fit.why_alone) for one in alone))
        for reason in reasons[:_SHOWN]:
            numbers = [one.number for one in alone if one.fit.why_alone == reason]
            which = f"trial {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} trials"
            found.append(f"alone     {which}: {reason}")
        return found

    def _count(self) -> int:
        sizes: dict[str, int] = {}
        for one in self.members:
            if one.fit.key:
                sizes[one.fit.key] = sizes.get(one.fit.key, 0) + 1
        return sum(-(-count // self.size.trials) for count in sizes.values())

    def _on_gpu(self) -> bool:
        return self.members[0].plan.device == "cuda"


def wants_groups(settings: SweepConfig) -> bool:
    """Whether sweep.together asks for more than one trial on a base model; ConfigError for an invalid value."""
    return asked_trials(settings) != 1


def member(number: int, config: Config, plan: LaunchPlan) -> Member:
    """A planned trial, and what decides its group."""
    return Member(
        number=number, fit=fit_of(config, plan, make_plugins(config.plugins)), config=config, plan=plan
    )


def plan_groups(settings: SweepConfig, members: Sequence[Member], *, sampled: bool) -> TrialGroups:
    """The groups of these trials. ConfigError if a sampler could choose trials that must not be in one group."""
    able = [one for one in members if one.fit.key]
    if sampled:
        _check_one_kind(settings, members)
    counts: dict[str, int] = {}
    for one in able:
        counts[str(one.fit.key)] = counts.get(str(one.fit.key), 0) + 1
    largest = max(able or members, key=lambda one: one.plan.model.trainable_parameters or 0)
    most = None if sampled else max(counts.values(), default=1)
    size = choose_size(settings, largest.config, largest.plan, most)
    return TrialGroups(size=size, members=members, sampled=sampled)


def _check_one_kind(settings: SweepConfig, members: Sequence[Member]) -> None:
    alone = next((one for one in members if one.fit.why_alone), None)
    if alone is not None:
        raise ConfigError(
            f"sweep.together={settings.together} does not work with every value of the search: {alone.fit.why_alone}; "
            "take that value out, or use sweep.together=1"
        )
    if apart := differing([one.fit for one in members]):
        key, values = next(iter(apart.items()))
        raise ConfigError(
            f"sweep.together={settings.together} does not work with a search over {key}={','.join(values)}, which "
            "must be equal for all trials on one base model; use sweep.sampler=grid, or sweep.together=1"
        )
