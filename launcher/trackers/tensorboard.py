"""TensorBoard: event files in the run dir, written by transformers' callback."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

from launcher.environment import Variable
from launcher.packages import Package
from launcher.trackers.base import Number, Tracked, Tracker, TrackingStart


class TensorBoard(Tracker):
    """TensorBoard's event files in the run dir's tensorboard/."""

    says: ClassVar[str] = "TensorBoard's event files in the run dir's `tensorboard/`"
    environment: ClassVar[tuple[Variable, ...]] = (  # transformers' TensorBoardCallback
        Variable(
            name="TENSORBOARD_LOGGING_DIR",
            meaning="Folder of TensorBoard's files: tensorboard/ in the run dir.",
            set_by="rank",
            read_by="transformers",
        ),
    )
    packages: ClassVar[tuple[Package, ...]] = (
        Package(module="tensorboard", name="tensorboard", install="pip install 'tensorboard>=2.17'"),
    )
    report_to: ClassVar[str | None] = "tensorboard"

    def prepare(self, run: Tracked, environ: dict[str, str]) -> TrackingStart | None:
        """Sets the folder of the event files. Source: transformers 5.23, integration_utils.py, TensorBoardCallback."""
        environ["TENSORBOARD_LOGGING_DIR"] = str(run.folder / "tensorboard")

    def add_figures(
        self, run: Tracked, step: int, values: Mapping[str, Number], environ: Mapping[str, str]
    ) -> str:
        """Writes event files into a folder of their own: TensorBoard stops reading an older file of a folder once there is a
        newer one, and the ranks write the older one. Source: tensorboard's directory_watcher.py."""
        del environ
        folder = run.folder / "tensorboard" / "tasks"
        writer: Any = import_module("torch.utils.tensorboard").SummaryWriter(str(folder))
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.close()
        return "in the run dir's tensorboard/tasks/"


SPEC = TensorBoard()
