"""Everything that the launcher reads and somebody else may have written."""

from pathlib import Path

from tests.security.surfaces.base import Surface
from tests.security.surfaces.downloads import model_files, templates
from tests.security.surfaces.elsewhere import elsewhere
from tests.security.surfaces.kept import caches
from tests.security.surfaces.named import data_files, typed
from tests.security.surfaces.runs import code_files, run_files, sweep_files
from tests.security.surfaces.wire import wire

_MAKERS = (
    wire, run_files, sweep_files, code_files, elsewhere, model_files, templates, typed, data_files, caches,
)  # fmt: skip


def surfaces(folder: Path) -> list[Surface]:
    """All of them; `folder` is for their files."""
    found: list[Surface] = []
    for number, make in enumerate(_MAKERS):
        own = folder / str(number)
        own.mkdir()
        found += make(own)
    return found
