"""TensorBoard: event files in the run dir, written by transformers' callback."""

from typing import ClassVar

from launcher.environment import Variable
from launcher.packages import Package
from launcher.trackers.base import Tracked, Tracker, TrackingStart


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


SPEC = TensorBoard()
