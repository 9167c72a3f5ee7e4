"""The plugin interface, and the construction of plugins from a configuration.

A hook takes the value that is being built and returns it; plugins are applied in YAML order. A plugin transforms values and
never drives the run. Its properties declare what it does, so that no other code needs to know its name.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

from launcher.errors import ConfigError, unknown
from launcher.frozen_dataclass import frozen_dataclass
from launcher.packages import Package
from launcher.plan.traits import Traits

if TYPE_CHECKING:
    from launcher.plan import LaunchPlan

T = TypeVar("T")


@frozen_dataclass
class Sharing:
    """Whether a trial with a plugin can train together with others on one copy of the base model (sweep.together)."""

    free: tuple[str, ...] = ()
    """Options that may differ between these trials."""
    why_alone: str | None = None
    """Why a trial with these options runs alone, as words after a colon; None if it can share its base."""


class Plugin:
    """A change to a run. Subclass it as a frozen dataclass, and override the hooks and properties that it needs."""

    @property
    def traits(self) -> Traits:
        """What the plugin does to a run, for the rules of the plan and for other commands."""
        return Traits()

    @property
    def sharing(self) -> Sharing:
        """Whether a trial with it can share its base model; its hooks may then change only the trial's adapter and trainer."""
        return Sharing(why_alone="this plugin does not declare that it leaves the base model as it is")

    @property
    def packages(self) -> tuple[Package, ...]:
        """Packages that the ranks import for this plugin; the launch checks for them if the ranks use this Python."""
        return ()

    @property
    def files(self) -> Mapping[str, str]:
        """Option -> path of each file that the ranks read; the files must exist before the launch."""
        return {}

    def rehearsed(self, save_every: int) -> Mapping[str, Any] | None:
        """Options that `rehearse` changes in its short copy of a run, which saves every `save_every` steps and never evaluates.

        None leaves the plugin out of the copy.
        """
        return None if self.traits.needs_eval else {}

    def on_plan(self, plan: LaunchPlan) -> LaunchPlan:
        """The changed plan; called on the login node and again on the compute node. Raise PlanError to refuse the plan.

        It may depend only on the plan and the options, not on files, the clock, the environment or installed packages.
        """
        return plan

    def on_load(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The changed keyword arguments of from_pretrained; called on every rank."""
        return kwargs

    def on_model(self, model: Any) -> Any:
        """The changed or wrapped model; called on every rank, before the trainer gets it."""
        return model

    def set_aside(self) -> AbstractContextManager[None]:
        """The context in which this process builds and runs models without the global changes of `on_model`, such as replaced
        classes of a library. An export is loaded back in this context, on the CPU."""
        return nullcontext()

    def on_trainer(self, trainer: Any) -> Any:
        """The changed trainer (add transformers' TrainerCallbacks here); called on every rank, before training."""
        return trainer


def apply(plugins: Iterable[Plugin], hook: str, value: T) -> T:
    """`value` after `hook` of every plugin, in order."""
    return reduce(lambda built, plugin: getattr(plugin, hook)(built), plugins, value)


def all_set_aside(plugins: Iterable[Plugin]) -> AbstractContextManager[object]:
    """The context in which no plugin changes the models that this process builds."""
    stack = ExitStack()
    for plugin in plugins:
        stack.enter_context(plugin.set_aside())
    return stack


def make_plugins(configs: Mapping[str, Any]) -> list[Plugin]:
    """The plugins of a run, in order; ConfigError names the key of one that cannot be created."""
    return [_make_plugin(f"plugins.{name}", config) for name, config in configs.items()]


def _make_plugin(key: str, config: Any) -> Plugin:
    if not isinstance(config, Mapping) or "_target_" not in config:
        name = key.removeprefix("plugins.")
        raise ConfigError(f"{key} has no _target_: choose it with 'plugin=[{name}]', or set {key}._target_")
    options: dict[str, Any] = {str(name): value for name, value in config.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    target = options.pop("_target_")
    plugin_class = find_class(key, str(target))
    known = list(inspect.signature(plugin_class).parameters)
    for name in options:
        if name not in known:
            raise ConfigError(f"{key}.{name}: {unknown('option', name, known)}")
    try:
        return plugin_class(**options)
    except (TypeError, ValueError, ArithmeticError) as error:
        message = str(error)
        raise ConfigError(message if message.startswith(f"{key}.") else f"{key}: {message}") from None


def find_class(key: str, target: str) -> type[Plugin]:
    """The plugin class of a `_target_`; ConfigError with the key if it cannot be imported or is not a plugin."""
    module_name, _, class_name = target.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in target.split(".")):
        raise ConfigError(f"{key}._target_={target[:100]} does not name a class; write package.module.Class")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{key}._target_={target} cannot be imported: {error}; is its package installed here?"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Plugin)):
        raise ConfigError(
            f"{key}._target_={target} is not a subclass of launcher.plugins.base.Plugin; derive it from Plugin"
        )
    return found


def check_types(plugin: Any, key: str) -> None:
    """ValueError if a dataclass field does not have the type of its default; a plugin calls this in __post_init__."""
    for field in dataclasses.fields(plugin):
        value, default = getattr(plugin, field.name), field.default
        if field.type not in ("Any", Any) and isinstance(default, bool | int | float | str):
            numbers = isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)
            if type(value) is not type(default) and not numbers:
                raise ValueError(
                    f"{key}.{field.name}={value!r} must be a {type(default).__name__}, such as {default!r}"
                )
