"""Hydra's -m for this launcher. Hydra takes sweepers from the namespace package hydra_plugins alone."""

from hydra_plugins.launcher_sweeper.sweeper import LauncherSweeper

__all__ = ["LauncherSweeper"]
