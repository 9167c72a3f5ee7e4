"""What a plan needs to know beside the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from launcher.config import ArchitectureConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was found outside the configuration at planning; kept in plan.json, used again on the node."""

    experiment: str | None
    cluster: str
    """slurm, allocation or local: what cluster.kind=auto came to."""
    device: str
    """cuda or cpu: what resources.device=auto came to."""
    run_dir: str
    work_dir: str
    """Where the command was typed; relative data paths and plugins' modules start there."""
    cache_dir: str
    """Absolute; models made on the spot are kept there."""
    hub_folders: Mapping[str, str]
    """For a container: where the hub's library keeps what it fetched, absolute, by the variables that say so (HF_HOME, and
    others if set). Empty on bare nodes, whose environment says it."""
    data_path: str
    """Absolute path of the training data; the first of several."""
    eval_path: str | None
    data_sources: tuple[str, ...] = ()
    """Absolute paths of data.sources, in their order."""
    python: str
    """Python on the nodes outside a container."""
    architecture: ArchitectureConfig | None
    """The model's shape: from its conf file, else from its config.json; None where it is not known."""
    resume: str
    """auto, never, or the absolute path of a checkpoint or of another run."""
    save_s: float
    """Seconds that training stands still for a save: measured by the newest run of that name, else assumed."""
    restart_s: float
    """Seconds from the start of an attempt to its first step: likewise."""
    shutdown_s: float = 0.0
    """Seconds from being told to end until all is saved: two steps and a whole save, as the newest run of that name measured
    them; 0 where none has."""
    kill_wait_s: float = 30.0
    """Seconds that the place gives between SIGTERM and SIGKILL: Slurm's KillWait."""
    version: str
    """Version of this package."""
    rows: int | None = None
    """Training examples in an epoch; None where they were not counted."""
    mean_tokens: int | None = None
    """Tokens of a training example on average, estimated by the data check."""

    @property
    def data_dirs(self) -> tuple[str, ...]:
        """Folders that the ranks read data from."""
        paths = (self.data_path, *self.data_sources, *([self.eval_path] if self.eval_path else []))
        files = [path for path in paths if not path.startswith("hub:")]
        return tuple(dict.fromkeys(str(PurePath(path).parent) for path in files))
