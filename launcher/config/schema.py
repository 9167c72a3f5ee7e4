"""The schema in Hydra's ConfigStore, and a run dir's config.yaml read back."""

import io
import os
from pathlib import Path
from typing import Any

from launcher import environment
from launcher.config.cluster import ClusterConfig
from launcher.config.data import DataConfig
from launcher.config.generation import GenerationConfig
from launcher.config.model import ModelConfig
from launcher.config.resources import ResourcesConfig
from launcher.config.run import Config
from launcher.config.strategy import StrategyConfig
from launcher.config.sweep import SweepConfig
from launcher.config.tracker import TrackerConfig
from launcher.config.trainer import TrainerConfig
from launcher.reading import read_text
from launcher.resources import resource_dir

GROUPS: dict[str, type] = {
    "model": ModelConfig,
    "data": DataConfig,
    "trainer": TrainerConfig,
    "strategy": StrategyConfig,
    "cluster": ClusterConfig,
    "resources": ResourcesConfig,
    "generation": GenerationConfig,
    "tracker": TrackerConfig,
    "sweep": SweepConfig,
}


def register() -> None:
    """Put the schema into Hydra's ConfigStore, so that a typo or a wrong type fails at the override."""
    from hydra.core.config_store import ConfigStore  # imported here: reading a run dir does not need Hydra
    from omegaconf import OmegaConf

    store = ConfigStore.instance().store
    store(name="schema", node=Config)
    for group in GROUPS:  # a file can list it; the group's keys have the types of the whole schema
        store(group=group, name="schema", node={})
    OmegaConf.register_new_resolver("shipped", _shipped, replace=True)
    OmegaConf.register_new_resolver("shipped_with_sample", _shipped_with_sample, replace=True)


def _shipped(path: str) -> str:
    return str(shipped_dir() / path)


def shipped_dir() -> Path:
    """The folder of the shipped files. A run's kept code names the installation that it was copied from."""
    return Path(os.environ.get(environment.SHIPPED) or resource_dir("conf"))


def _shipped_with_sample(path: str, *, _parent_: Any) -> str | None:
    """The shipped file if data.path is a shipped file too; None for the user's own data, which its rows do not resemble."""
    own = _parent_["sources"] or not is_shipped(_parent_["path"])
    return None if own else _shipped(path)


def is_shipped(path: str | None) -> bool:
    """Whether a file belongs to this installation."""
    return path is not None and Path(path).is_relative_to(shipped_dir())


def read_config(path: str) -> Config:
    """The Config in a run dir's config.yaml, checked against the schema again; RunError if this version cannot read it."""
    from omegaconf import OmegaConf

    from launcher.config.kept_yaml import refused  # imported here: a launch reads none back

    with refused(path):
        text = io.StringIO(read_text(Path(path)))
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.load(text)))
        assert isinstance(config, Config)
        return config
