"""evaluations/ of a run dir: a folder for each evaluation of a checkpoint, with its script, its log and its result.

It looks like a run dir, with job.json and events.jsonl, so that its job is submitted and found as a run's is.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from launcher.errors import RunError
from launcher.reading import read_json
from launcher.run.dir import RunDir
from launcher.run.lines import write_text
from launcher.run.record import is_kind

_ASKED, _RESULT = "asked.json", "result.json"
_STEP = "step_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The end of an evaluation."""

    saved: str
    """The time in the manifest of its checkpoint, which tells it from a later checkpoint of the same step."""
    scores: Mapping[str, float]
    """TASK/METRIC -> value; empty if it failed."""
    higher_is_better: Mapping[str, bool]
    """TASK/METRIC -> whether a higher value is better, where the task says so."""
    failed: str | None = None
    """Why it has no scores."""

    def lowest_is_best(self, metric: str) -> float | None:
        """The value of a metric, negated if a higher one is better, so that the lowest is the best; None without a value."""
        value = self.scores.get(metric)
        if value is None:
            return None
        return -value if self.higher_is_better.get(metric, True) else value


def evaluation_folder(run: RunDir, step: int) -> RunDir:
    """The folder of the evaluation of a step."""
    return RunDir(run.path / "evaluations" / f"{_STEP}{step:08d}")


def evaluation_folders(run: RunDir) -> Iterator[tuple[int, RunDir]]:
    """Step and folder of every evaluation that was begun, the lowest step first."""
    root = run.path / "evaluations"
    names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    for name in names:
        number = name.removeprefix(_STEP)
        if name.startswith(_STEP) and number.isdecimal():
            yield int(number), RunDir(root / name)


def read_asked(folder: RunDir) -> str | None:
    """The time in the manifest of the checkpoint that is evaluated in a folder; None if nothing is."""
    try:
        found = read_json(folder.path / _ASKED)
    except (FileNotFoundError, RunError):
        return None
    saved = found.get("saved") if isinstance(found, dict) else None  # pyright: ignore
    return saved if isinstance(saved, str) else None


def write_asked(folder: RunDir, saved: str) -> None:
    """Writes which checkpoint is evaluated."""
    write_text(folder.path / _ASKED, json.dumps({"saved": saved}) + "\n", durable=True)


def read_settled(run: RunDir, step: int) -> Settled | None:
    """The end of the evaluation of a step; None before it, and for a file that the launcher has not written."""
    try:
        found = read_json(evaluation_folder(run, step).path / _RESULT)
        settled = Settled(**found) if isinstance(found, dict) else None  # pyright: ignore[reportUnknownArgumentType]
    except (FileNotFoundError, RunError, TypeError):
        return None
    kinds = (
        ("saved", str), ("scores", Mapping[str, float]), ("higher_is_better", Mapping[str, bool]), ("failed", str | None),
    )  # fmt: skip
    return settled if settled and all(is_kind(getattr(settled, name), kind) for name, kind in kinds) else None


def write_settled(run: RunDir, step: int, settled: Settled) -> None:
    """Writes the end of an evaluation."""
    path: Path = evaluation_folder(run, step).path / _RESULT
    write_text(path, json.dumps(asdict(settled), indent=1) + "\n", durable=True)
