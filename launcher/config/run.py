"""A whole run, as requested, and the keys that are not a group of conf/: batch and hub."""

from dataclasses import dataclass, field
from typing import Any, Optional, Union

from launcher.config.cluster import ClusterConfig
from launcher.config.data import DataConfig
from launcher.config.eval_job import EvalJobConfig
from launcher.config.generation import GenerationConfig
from launcher.config.missing import MISSING
from launcher.config.model import ModelConfig
from launcher.config.resources import ResourcesConfig
from launcher.config.strategy import StrategyConfig
from launcher.config.sweep import SweepConfig
from launcher.config.tracker import TrackerConfig
from launcher.config.trainer import TrainerConfig

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


@dataclass(kw_only=True)
class BatchConfig:
    """How many sequences per step. Gradient accumulation follows: global / (micro * data-parallel ranks)."""

    global_batch_size: int = 32
    """Sequences per optimizer step, summed over all ranks."""
    micro_batch_size: Union[int, str] = 1  # noqa: UP007
    """Sequences per rank in one forward pass; `auto` takes the fastest size that fits into GPU memory."""
    eval_micro_batch_size: Optional[int] = None  # noqa: UP045
    """Sequences per rank in one forward pass of an evaluation; null takes micro_batch_size."""


@dataclass(kw_only=True)
class HubConfig:
    """Where the result goes on a model hub."""

    push: Optional[str] = None  # noqa: UP045
    """Repository OWNER/NAME that the finished run pushes its result to, from the machine that runs its job script; `launcher
    push` does the same later. null pushes nothing."""
    merged: bool = False
    """Whether the adapter is pushed merged with its base, as one model, which is made first; otherwise model/ is pushed as it
    is."""
    private: bool = True
    """Whether the repository is made private; an existing repository keeps its visibility."""


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
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    eval_job: EvalJobConfig = field(default_factory=EvalJobConfig)
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
    """With resume=PATH: begin at step 0 with only the weights of that checkpoint. With sharded_checkpoint.weights_only: whether
    the run goes on from its own checkpoints, at their step, with a new optimizer."""
    trust_checkpoint: bool = False
    """With resume=PATH: whether to accept a checkpoint from outside runs_dir."""
    force: bool = False
    """Whether to launch although the plan says that the run does not fit into GPU memory."""
    dry_run: bool = False
    """Whether to write the run dir and print the submit command, without submitting."""
    freeze: Optional[bool] = None  # noqa: UP045
    """Whether the code that the run imports is kept with it: the folder in which the command is typed, the launcher, and
    --config-dir. Then a change while the job is queued changes nothing. null: yes if the run waits in a queue."""
    notify: list[str] = field(default_factory=list[str])
    """Whom the run tells of its first checkpoint, its failure and its end: mailto:NAME@HOST, https://HOST/PATH (a POST with
    JSON), or env:NAME for an address in the variable NAME, such as a hook's, which is a secret and is written nowhere."""
    umask_shared: bool = False
    """Whether your umask decides who can read the run dir. By default only you can (mode 0700)."""
    runs_dir: str = "runs"
    """Folder of all runs, relative to the folder in which the command is typed."""
    cache_dir: str = "${oc.env:XDG_CACHE_HOME,${oc.env:HOME}/.cache}/launcher"
    """Folder for tokenized data and created models; on a cluster it must be on a shared file system."""
