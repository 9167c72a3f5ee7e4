"""The sweeper behind Hydra's -m for this launcher. Hydra finds sweepers only in the namespace package hydra_plugins."""

from hydra_plugins.launcher_sweeper.sweeper import LauncherSweeper

__all__ = ["LauncherSweeper"]
