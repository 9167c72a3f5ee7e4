"""What a plan needs to know besides the configuration."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import PurePath

from launcher.config import ArchitectureConfig
from launcher.frozen_dataclass import frozen_dataclass
from launcher.plan.chat_format import ChatFormat


@frozen_dataclass
class Facts:
    """What planning found outside the configuration. plan.json keeps it, and the nodes plan with it again."""

    experiment: str | None
    """Name of the chosen experiment; None without one."""
    cluster: str
    """Name of the cluster: what cluster.kind=auto resolved to."""
    device: str
    """cuda or cpu: what resources.device=auto resolved to."""
    run_dir: str
    """Absolute path of the run dir."""
    work_dir: str
    """Folder in which the command was typed; relative data paths and plugins' modules start there."""
    cache_dir: str
    """Absolute path; generated models are kept there."""
    hub_folders: Mapping[str, str]
    """For a container: absolute paths of the hub library's caches, by the variables that name them (HF_HOME, and others if
    set). Empty on bare nodes, where the environment has these variables."""
    data_path: str
    """Absolute path of the training data; the first of several."""
    eval_path: str | None
    """Absolute path of the evaluation data; None without one."""
    code: Mapping[str, str] = field(default_factory=dict[str, str])
    """Folders from which the job imports, in this order, with the archive in the run dir that each is unpacked from (empty for
    one that is used as it is); empty: the job imports from work_dir."""
    data_sources: tuple[str, ...] = ()
    """Absolute paths of data.sources, in their order."""
    data_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """The files of each data path that is a folder or a glob, as they were at the launch: the ranks read these, whatever is in
    the folder by then, and a resumed run reads them again."""
    python: str
    """Python on the nodes outside a container."""
    architecture: ArchitectureConfig | None
    """The model's shape: from its conf file, else from its config.json; None if it is not known."""
    teacher_name: str | None = None
    """Hub id or folder of the teacher that the run loads; None if it loads none."""
    teacher: ArchitectureConfig | None = None
    """The shape of the teacher that the run loads, from its config.json; None without one, or if it is not known."""
    stored_as: str | None = None
    """How the checkpoint packs its weights, as the quantization_config of its config.json says (mxfp4, gptq, ...); empty for
    plain weights, None if its config.json is not on this machine."""
    positions: int | None = None
    """Positions of the model by its config.json; None if that is not on this machine."""
    original_positions: int | None = None
    """The positions on which it was trained first, before they were stretched."""
    chat: ChatFormat | None = None
    """Changes to the model's tokenizer, as model.chat_template and its neighbours say; None for none."""
    resume: str
    """auto, never, or the absolute path of a checkpoint or of another run."""
    save_s: float
    """Seconds that a save blocks training: measured by the newest run of that name, else assumed."""
    restart_s: float
    """Seconds from the start of an attempt to its first step: measured by the newest run of that name, else assumed."""
    shutdown_s: float = 0.0
    """Seconds from the order to shut down until all is saved: two steps and a whole save, as measured by the newest run of that
    name; 0 if none has measured them."""
    kill_wait_s: float = 30.0
    """Seconds between SIGTERM and SIGKILL on this cluster."""
    version: str
    """Version of this package."""
    classes: Mapping[str, int] = field(default_factory=dict[str, int])
    """For a method that classifies: the names of the classes, in the order of the head's outputs, with the training rows of
    each; empty for other methods, and before the data is read."""
    classified_rows: int = 0
    """Training rows whose classes were counted."""
    rows: int | None = None
    """Training examples in an epoch; None if they were not counted."""
    holds_out: bool = False
    """Whether the evaluation rows are a share of the training rows (data.eval_fraction)."""
    eval_rows: int | None = None
    """Evaluation examples; None if they were not counted, or without an evaluation."""
    mean_tokens: int | None = None
    """Average tokens per training example, estimated by the data check."""

    @property
    def import_path(self) -> str:
        """PYTHONPATH of the job."""
        return ":".join(self.code) or self.work_dir

    def files(self, path: str) -> list[str]:
        """The files that a relative path can name, best first: in the kept code, then in work_dir."""
        return [str(PurePath(folder, path)) for folder in (*self.code, self.work_dir)]

    @property
    def training_data(self) -> tuple[str, ...]:
        """The training sets: those of data.sources in their order, or the one of data.path."""
        return self.data_sources or (self.data_path,)

    @property
    def all_data(self) -> tuple[str, ...]:
        """The training sets and the evaluation data, each once."""
        return tuple(dict.fromkeys([*self.training_data, *([self.eval_path] if self.eval_path else [])]))

    @property
    def data_dirs(self) -> tuple[str, ...]:
        """Folders that the ranks read data from."""
        files = [path for path in self.all_data if not path.startswith("hub:")]
        return tuple(dict.fromkeys(str(PurePath(path).parent) for path in files))
