"""A whole run, as asked for."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from launcher.config.batch import BatchConfig
from launcher.config.cluster import ClusterConfig
from launcher.config.data import DataConfig
from launcher.config.model import ModelConfig
from launcher.config.resources import ResourcesConfig
from launcher.config.strategy import StrategyConfig
from launcher.config.sweep import SweepConfig
from launcher.config.tracker import TrackerConfig
from launcher.config.trainer import TrainerConfig


@dataclass(kw_only=True)
class Config:
    """One run, as asked for."""

    name: str = MISSING
    """Name of the run, and of its folder under runs_dir."""
    model: ModelConfig = MISSING
    data: DataConfig = MISSING
    trainer: TrainerConfig = MISSING
    strategy: StrategyConfig = MISSING
    cluster: ClusterConfig = MISSING
    tracker: TrackerConfig = MISSING
    batch: BatchConfig = field(default_factory=BatchConfig)
    resources: ResourcesConfig = field(default_factory=ResourcesConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    plugins: dict[str, Any] = field(default_factory=dict[str, Any])
    """Plugins by name, each with its `_target_`; filled by the list-valued group `plugin`."""
    seed: int = 0
    resume: str = "auto"
    """auto: from the newest committed checkpoint of this run; never; or, until the run has its own, from a checkpoint's
    path or another run."""
    resume_weights_only: bool = False
    """With resume=PATH: begin at step 0 with its weights, and take nothing else from it."""
    trust_checkpoint: bool = False
    """With resume=PATH: accept a checkpoint from outside runs_dir."""
    force: bool = False
    """Launch although the plan says that it does not fit into the GPUs' memory."""
    dry_run: bool = False
    """Write the run dir and print what would submit it."""
    runs_dir: str = "runs"
    """Folder of all runs; relative to where the command is typed."""
    cache_dir: str = "${oc.env:XDG_CACHE_HOME,${oc.env:HOME,/tmp}/.cache}/launcher"
    """Folder for models made on the spot; on a cluster it must be on a shared file system."""
