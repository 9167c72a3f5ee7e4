"""How many rows a run trains on and evaluates on: what data.max_samples and data.eval_fraction leave of its files."""

import dataclasses
from pathlib import Path
from typing import Any

from launcher.config import Config
from launcher.data.portion import Portion, asked_portion
from launcher.data.reading import Reading, reading_of
from launcher.frozen_dataclass import frozen_dataclass
from launcher.hub import HUB
from launcher.launching.kept import remembered


@frozen_dataclass
class Counted:
    """Rows before the weights of the sources; None for what is not known before the job starts."""

    training: tuple[int | None, ...]
    """Training rows of each set."""
    evaluation: int | None
    """Evaluation rows; None also without an evaluation."""


def count_portions(config: Config, paths: tuple[str, ...], reports: list[dict[str, Any]]) -> Counted:
    """The rows of each training set and of the evaluation, by the reports of the check, which found no error."""
    portion = asked_portion(config)
    if portion.eval_fraction is None:
        most = portion.max_samples
        rows = (report["tokens"]["examples"] if "tokens" in report else None for report in reports)
        held = [report["eval"]["rows"] for report in reports if report.get("eval")]
        return Counted(
            training=tuple(None if count is None else min(count, most or count) for count in rows),
            evaluation=min(held[0], portion.eval_max_samples or held[0]) if held else None,
        )
    if len(reports) != len(paths) or any(path.startswith(HUB) for path in paths):
        return Counted(training=(None,) * len(paths), evaluation=None)
    data = config.data
    readings = [reading_of(data, at) for at in range(len(data.sources))] or [reading_of(data)]
    files = paths
    words = {"portion": dataclasses.asdict(portion), "readings": readings}
    found = remembered(files, words, Path(config.cache_dir), lambda: _count(files, readings, portion))
    return Counted(training=tuple(found["training"]), evaluation=found["evaluation"])


def _count(paths: tuple[str, ...], readings: list[Reading], portion: Portion) -> dict[str, Any]:
    from launcher.data.examples import read_examples
    from launcher.data.held_out import choose, group_values  # only a run that holds rows out reads them here

    column = portion.eval_group
    named = [group_values(path, column) if column else {} for path in paths]
    sets = [read_examples(path, reading) for path, reading in zip(paths, readings, strict=True)]
    chosen = choose(sets, portion, lambda number, line: named[number].get(line))
    return {"training": [held.count(0) for held in chosen.held], "evaluation": chosen.held_out}
