"""hydra/sweeper=launcher: hands the whole sweep to the command, where that can take it; else what Hydra's own sweeper does."""

from dataclasses import dataclass
from typing import Any, Optional

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

_OWN = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


@dataclass
class LauncherSweeperConfig:
    """What hydra/sweeper=launcher is made of."""

    _target_: str = "hydra_plugins.launcher_sweeper.sweeper.LauncherSweeper"
    max_batch_size: Optional[int] = None  # noqa: UP045 - as in launcher/config.py
    """As of hydra/sweeper=basic; of no effect where the command takes the sweep."""
    params: Optional[dict[str, str]] = None  # noqa: UP045
    """Overrides that stand before what is typed, as of hydra/sweeper=basic."""


ConfigStore.instance().store(
    group="hydra/sweeper", name="launcher", node=LauncherSweeperConfig, provider="launcher"
)


class LauncherSweeper(BasicSweeper):
    """Hydra's own, but for a task function that has `take_sweep`, with no other hydra/launcher named."""

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None = None) -> None:
        super().__init__(max_batch_size, params)
        self._take_sweep: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Looks whether the task function takes sweeps."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        if config.hydra.launcher.get("_target_") == _OWN:
            self._take_sweep = getattr(task_function, "take_sweep", None)

    def sweep(self, arguments: list[str]) -> Any:
        """What the command or the launcher gives for each job."""
        if self._take_sweep is None:
            return super().sweep(arguments)
        assert self.hydra_context is not None
        typed = [*self._parse_config(), *arguments]
        return self._take_sweep(self.hydra_context.config_loader, self.config, typed)
