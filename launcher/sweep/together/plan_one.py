"""What sweep.together would do with trials like one planned run, for `plan`, which plans a single trial."""

from launcher.config import Config
from launcher.launching.summary import cannot_save, shutdown_dict
from launcher.plan import LaunchPlan
from launcher.plugins.base import make_plugins
from launcher.sweep.printed import PlannedTogether
from launcher.sweep.together.grouping import fit_of
from launcher.sweep.together.plan_groups import wants_groups
from launcher.sweep.together.size import choose_size


def plan_together(config: Config, plan: LaunchPlan) -> PlannedTogether | None:
    """The size of a group of such trials; None if sweep.together asks for none. ConfigError if the requested number does not
    fit a GPU."""
    if not wants_groups(config.sweep):
        return None
    why_alone = fit_of(config, plan, make_plugins(config.plugins)).why_alone
    if why_alone:
        return {
            "trials": 1, "mixed": False, "why": why_alone, "gib": None, "one_gib": None, "shutdown": shutdown_dict(plan),
        }  # fmt: skip
    size = choose_size(config.sweep, config, plan)
    return {
        "trials": size.trials, "mixed": size.mixed,
        "why": size.why if size.trials > 1 else "only one such trial fits at a time", "gib": size.gib, "one_gib": size.one_gib,
        "shutdown": shutdown_dict(plan, size.trials),
    }  # fmt: skip


def together_lines(found: PlannedTogether | None, plan: LaunchPlan) -> list[tuple[str, str]]:
    """The same as lines of a plan."""
    if found is None:
        return []
    if found["trials"] < 2:
        return [("together", f"no, such a trial runs alone; {found['why']}")]
    memory = ""
    if found["gib"] is not None:
        memory = f"; {found['gib']:.1f} GiB of a GPU for all, {found['one_gib']:.1f} GiB for one"
    where = "GPU" if plan.device == "cuda" else "rank"
    lines = [("together", f"{found['trials']} trials per {where} in a sweep{memory}; {found['why']}")]
    late = cannot_save(plan, found["trials"])
    return [*lines, *([("", late)] if late else [])]
