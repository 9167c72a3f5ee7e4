"""hydra/sweeper=launcher: passes the whole sweep to the command if it takes sweeps; else it is Hydra's own sweeper."""

from dataclasses import dataclass
from typing import Any, Optional

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

_OWN = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


@dataclass
class LauncherSweeperConfig:
    """The configuration of hydra/sweeper=launcher."""

    _target_: str = "hydra_plugins.launcher_sweeper.sweeper.LauncherSweeper"
    max_batch_size: Optional[int] = None  # noqa: UP045 - as in launcher/config.py
    """As in hydra/sweeper=basic; it has no effect if the command takes the sweep."""
    params: Optional[dict[str, str]] = None  # noqa: UP045
    """Overrides that come before the typed ones, as in hydra/sweeper=basic."""


ConfigStore.instance().store(
    group="hydra/sweeper", name="launcher", node=LauncherSweeperConfig, provider="launcher"
)


class LauncherSweeper(BasicSweeper):
    """Hydra's own sweeper, unless the task function has `take_sweep` and hydra/launcher is the default."""

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None = None) -> None:
        super().__init__(max_batch_size, params)
        self._take_sweep: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Finds out whether the task function takes sweeps."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        if config.hydra.launcher.get("_target_") == _OWN:
            self._take_sweep = getattr(task_function, "take_sweep", None)

    def sweep(self, arguments: list[str]) -> Any:
        """The results of the command, or of Hydra's launcher for each job."""
        if self._take_sweep is None:
            return super().sweep(arguments)
        assert self.hydra_context is not None
        typed = [*self._parse_config(), *arguments]
        return self._take_sweep(self.hydra_context.config_loader, self.config, typed)
