"""The files of a run's plan before it was planned again: kept under earlier/N, so that nothing is lost."""

from collections.abc import Iterable
from pathlib import Path

from launcher.render import FILES
from launcher.run import RunDir


def keep_earlier(run: RunDir, texts: Iterable[str]) -> Path:
    """The new folder with copies of the present files; a file of the plan that `texts` no longer has is deleted."""
    kept = run.earlier / str(1 + sum(1 for _ in run.earlier.glob("[0-9]*")))
    kept.mkdir(parents=True)
    new = set(texts)
    for name in (*FILES, ".hydra/overrides.yaml", run.config.name, run.data_check.name, run.code.name):
        if (run.path / name).is_file():
            (kept / name).parent.mkdir(exist_ok=True)
            (kept / name).write_bytes((run.path / name).read_bytes())
            if name in FILES and name not in new:
                (run.path / name).unlink()
    return kept
