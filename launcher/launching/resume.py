"""Continues a run that ended early in its run dir: it is composed again from its arguments, with the permitted changes."""

import os
import sys
from collections.abc import Callable
from typing import Any, cast

from omegaconf import OmegaConf

from launcher.checkpoint.folders import committed
from launcher.clusters.base import RunState
from launcher.clusters.registry import make_cluster
from launcher.config.kept_yaml import read_mapping, read_words
from launcher.errors import ConfigError, RunError, UsageError
from launcher.launching.changed_data import check_data_is_same
from launcher.launching.choose_shape import settle_shape
from launcher.launching.compose import compose
from launcher.launching.composed import Composed
from launcher.launching.freeze.differ import code_differences
from launcher.launching.freeze.enter import is_entered
from launcher.launching.freeze.freeze import Frozen, freeze, with_code
from launcher.launching.hub_gate import check_hub
from launcher.launching.launch import Launched, start
from launcher.launching.own_file.expand import OPTION
from launcher.launching.package_gate import check_packages
from launcher.launching.plan_warnings import print_warnings
from launcher.launching.planning import prepare_in
from launcher.launching.push_target import check_repository
from launcher.launching.write import rewrite_run, settle
from launcher.output import say
from launcher.plan import check_fits
from launcher.plugins.base import make_plugins
from launcher.reading import read_text
from launcher.run import RunDir
from launcher.run.code import Code, read_code
from launcher.status.state import is_over, read_status

# fmt: off
MAY_CHANGE = (
    "resources", "cluster", "strategy", "batch.micro_batch_size",
    "batch.eval_micro_batch_size", "data.num_workers", "data.prefetch_factor", "tracker",
    "trainer.logging_steps", "trainer.eval_steps",
    "trainer.sample_prompt", "data.check", "data.eval_path", "model.attn_implementation", "cache_dir", "runs_dir",
    "force", "freeze", "notify", "dry_run", "trust_checkpoint", "umask_shared", "sweep",
    "resume_weights_only",
)
# fmt: on
"""Keys that change where and how a run computes, but not what it learns, and the way on from a checkpoint without optimizer
state; some plugins declare the same of themselves."""


def resume(run: RunDir, overrides: list[str], tell: Callable[[Composed, Launched], None]) -> Launched:
    """The outcome of the run's launch, planned again in its own folder; RunError if it cannot continue.

    This changes the process's folder to the one where the run was launched: paths of the configuration are relative to it, and
    a user's plugins are imported from there.
    """
    settle(run)
    _check_can_go_on(run)
    _enter(run)
    composed = _compose(run, overrides)
    _check_state(run, composed)
    composed = settle_shape(composed, run)
    changes = _changes(run, composed)
    prepared = prepare_in(composed, run)
    plan = prepared.plan
    check_data_is_same(run, plan.facts)
    check_fits(composed.config, plan)
    check_hub(composed.config, plan)
    check_repository(composed.config)
    check_packages(composed.config, plan)
    print_warnings(composed, plan, prepared.data)
    cluster = None if composed.config.dry_run else make_cluster(plan.cluster)
    before = read_code(run.code)
    frozen = freeze(composed.config, plan, composed.config_dir)
    plan = with_code(plan, frozen.of(run) if frozen else None)
    _tell_changed(before, frozen)
    rewrite_run(run, plan, composed, prepared.data, changes, frozen)
    run.together.unlink(missing_ok=True)  # a trial of a group continues with a job of its own
    return start(run, plan, cluster, lambda launched: tell(composed, launched))


def _enter(run: RunDir) -> None:
    work_dir = run.launched_in()
    try:
        os.chdir(work_dir)
    except OSError as error:
        raise RunError(
            f"{work_dir}, where {run.name} was launched, cannot be entered: {error.strerror}"
        ) from None
    if not is_entered():
        sys.path.insert(0, work_dir)


def _tell_changed(before: Code | None, frozen: Frozen | None) -> None:
    """Says which code differs from that of the launch, and that the code is no longer kept."""
    if before and frozen:
        for line in code_differences(before, frozen.code, frozen.archives):
            say(f"the code differs from that of the launch: {line}")
    elif before:
        say("freeze=false: the run imports the code that is in its folder now, not that of its launch")


def _check_can_go_on(run: RunDir) -> None:
    status = read_status(run)
    if status.state is RunState.FINISHED:
        raise RunError(
            f"{run.name} is finished; to continue training from its result, start a run with resume={run.name} "
            "resume_weights_only=true"
        )
    if status.state is not RunState.PLANNED and not is_over(status.state):
        job = f" as job {status.job_id}" if status.job_id else ""
        raise RunError(
            f"{run.name} is {status.state.value}{job}; end it first: python -m launcher cancel {run.name}"
        )


def _check_state(run: RunDir, composed: Composed) -> None:
    newest = next(iter(committed(run.checkpoints)), None)
    if newest and newest.manifest.weights_only and not composed.config.resume_weights_only:
        raise RunError(
            f"{run.name}: {newest.path.name} has no optimizer state (plugins.sharded_checkpoint.weights_only=true); to go on "
            "from it with a new optimizer, add resume_weights_only=true"
        )


def _compose(run: RunDir, overrides: list[str]) -> Composed:
    """The configuration of the run's own arguments, followed by the new ones."""
    if any(word.partition("=")[0] == OPTION for word in overrides):
        raise UsageError(
            f"{OPTION} begins a run; a resume uses the arguments of {run.name}'s launch: type what changes as key=value"
        )
    if not run.overrides.is_file():
        raise RunError(
            f"{run.overrides} is missing, so the arguments of {run.name} are unknown; start a new run"
        )
    typed = read_words(run.overrides)
    site = config_dir_of(run, read_code(run.code) if is_entered() else None)
    before = [override for override in typed if not override.startswith(("dry_run=", "force="))]
    composed = compose([*([] if "--config-dir" in overrides else site), *before, *overrides])
    if len(composed) != 1:
        raise ConfigError(f"resume of {run.name} takes one value for each key; a sweep is a new command")
    return composed[0]


def config_dir_of(run: RunDir, code: Code | None) -> list[str]:
    """The words for --config-dir; with the kept code they name its copy."""
    if not run.config_dir.is_file():
        return []
    folder = read_text(run.config_dir).rstrip("\n")
    return ["--config-dir", code.place(folder) if code else folder]


def _changes(run: RunDir, composed: Composed) -> dict[str, Any]:
    """Keys with their old and new values; ConfigError for one that would change what is trained."""
    stored = read_mapping(run.config)
    old = _flat("", stored)
    new = _flat("", OmegaConf.to_container(composed.cfg, resolve=True, enum_to_str=True))
    changes = {
        key: [old.get(key), new.get(key)] for key in sorted({*old, *new}) if old.get(key) != new.get(key)
    }
    free = (*MAY_CHANGE, *_free(stored.get("plugins")), *_free(composed.config.plugins))
    for key, (was, is_now) in changes.items():
        if not any(key == allowed or key.startswith(f"{allowed}.") for allowed in free):
            raise ConfigError(
                f"{key}={is_now} would change what {run.name} trains (it is {was} there); omit it, or start another run "
                f"with resume={run.name}"
            )
    return changes


def _free(plugins: Any) -> list[str]:
    """Keys of the plugins that declare that they do not change what a run learns; none for a value that is not a mapping."""
    plugins = cast("dict[str, Any]", plugins) if isinstance(plugins, dict) else {}
    made = zip(plugins, make_plugins(plugins), strict=True)
    return [f"plugins.{name}" for name, plugin in made if plugin.traits.same_training]


def _flat(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {key: value}
    flat: dict[str, Any] = {}
    for name, inner in cast("dict[str, Any]", value).items():
        flat.update(_flat(f"{key}.{name}" if key else str(name), inner))
    return flat
