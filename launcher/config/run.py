"""A whole run, as requested."""

from dataclasses import dataclass, field
from typing import Any

from launcher.config.batch import BatchConfig
from launcher.config.cluster import ClusterConfig
from launcher.config.data import DataConfig
from launcher.config.hub import HubConfig
from launcher.config.missing import MISSING
from launcher.config.model import ModelConfig
from launcher.config.resources import ResourcesConfig
from launcher.config.strategy import StrategyConfig
from launcher.config.sweep import SweepConfig
from launcher.config.tracker import TrackerConfig
from launcher.config.trainer import TrainerConfig


@dataclass(kw_only=True)
class Config:
    """One run, as requested."""

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
    hub: HubConfig = field(default_factory=HubConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    plugins: dict[str, Any] = field(default_factory=dict[str, Any])
    """Plugins by name, each with its `_target_`; the group `plugin` fills it: `'plugin=[lora,gradient_checkpointing]'`."""
    seed: int = 0
    """Random seed of initialization, data order and dropout."""
    resume: str = "auto"
    """`auto` resumes from the newest committed checkpoint of this run, `never` begins at step 0. The path of a checkpoint or
    the name of another run is used until the run has its own checkpoint."""
    resume_weights_only: bool = False
    """With resume=PATH: begin at step 0 with only the weights of that checkpoint."""
    trust_checkpoint: bool = False
    """With resume=PATH: whether to accept a checkpoint from outside runs_dir."""
    force: bool = False
    """Whether to launch although the plan says that the run does not fit into GPU memory."""
    dry_run: bool = False
    """Whether to write the run dir and print the submit command, without submitting."""
    runs_dir: str = "runs"
    """Folder of all runs, relative to the folder in which the command is typed."""
    cache_dir: str = "${oc.env:XDG_CACHE_HOME,${oc.env:HOME,/tmp}/.cache}/launcher"
    """Folder for tokenized data and created models; on a cluster it must be on a shared file system."""
