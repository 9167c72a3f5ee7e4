"""The schema of conf/: one dataclass per config group, a file each, registered with Hydra.

Mutable while composing; `make_plan` turns it into a frozen LaunchPlan. An experiment says WHAT (model, data,
trainer, plugins, resources); a cluster says WHERE.
"""

from launcher.config.cluster import ClusterConfig, ContainerConfig, ContainerRuntime, GpuVendor, RankStarter
from launcher.config.data import BadRow, DataCheck, DataConfig, EvalCopies, SourceConfig, has_evaluation
from launcher.config.generation import GenerationConfig, GenerationMode
from launcher.config.model import (
    AdapterMode,
    ArchitectureConfig,
    BlockConfig,
    Init,
    ModelConfig,
    RopeScalingConfig,
    RopeType,
)
from launcher.config.resources import Device, ResourcesConfig, ShapeConfig
from launcher.config.run import BatchConfig, Config
from launcher.config.schema import GROUPS, read_config, register
from launcher.config.strategy import StrategyConfig
from launcher.config.sweep import Direction, Pass, Pruner, Sampler, SweepConfig
from launcher.config.tracker import TrackerConfig
from launcher.config.trainer import Precision, TrainerConfig

__all__ = [
    "GROUPS",
    "AdapterMode",
    "ArchitectureConfig",
    "BadRow",
    "BatchConfig",
    "BlockConfig",
    "ClusterConfig",
    "Config",
    "ContainerConfig",
    "ContainerRuntime",
    "DataCheck",
    "DataConfig",
    "Device",
    "Direction",
    "EvalCopies",
    "GenerationConfig",
    "GenerationMode",
    "GpuVendor",
    "Init",
    "ModelConfig",
    "Pass",
    "Precision",
    "Pruner",
    "RankStarter",
    "ResourcesConfig",
    "RopeScalingConfig",
    "RopeType",
    "Sampler",
    "ShapeConfig",
    "SourceConfig",
    "StrategyConfig",
    "SweepConfig",
    "TrackerConfig",
    "TrainerConfig",
    "has_evaluation",
    "read_config",
    "register",
]
