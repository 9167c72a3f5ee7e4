"""The data of a run that is resumed, compared with that of its last plan: what survives a change, and what does not.

A checkpoint's position is a number of rows in one order. With other rows at these places, some would be trained on twice and
others never, so other training data is refused once there is a checkpoint. Evaluation data may change.
"""

import hashlib

from launcher.checkpoint.folders import committed
from launcher.data.places import find_files
from launcher.errors import DataError, RunError
from launcher.hub import HUB
from launcher.launching.kept import states
from launcher.output import warn
from launcher.plan import Facts
from launcher.run import RunDir
from launcher.run.events.launching import Planned, Replanned
from launcher.units import plural


def data_states(facts: Facts) -> dict[str, str]:
    """Data path -> number of files, size and what changes with the content; without the data that only the nodes can read."""
    found: dict[str, str] = {}
    for path in (path for path in facts.all_data if not path.startswith(HUB)):
        try:
            files = facts.data_files.get(path) or find_files(path)
            known = states(files)
        except (DataError, OSError):
            continue
        sizes, contents = zip(*(state.split(" bytes, ") for state in known.values()), strict=True)
        content = contents[0] if len(known) == 1 else _digest(" ".join(contents))
        found[path] = (
            f"{plural(len(known), 'file')}, {sum(map(int, sizes)):,} bytes, {_kind(contents)} {content}"
        )
    return found


def _kind(contents: tuple[str, ...]) -> str:
    """What stands for the contents: for a large file the time of its last change."""
    return "changed at" if any(len(one) < 32 for one in contents) else "sha256"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def check_data_is_same(run: RunDir, facts: Facts) -> None:
    """RunError if the training data is other than at the run's last plan and a checkpoint has a position in it; a warning for
    other changes."""
    planned = [event for event in run.read_events(Planned, Replanned) if event.data]
    before, now = (planned[-1].data or {}) if planned else {}, data_states(facts)
    newest = next(iter(committed(run.checkpoints)), None)
    training = facts.training_data
    for path, state in now.items():
        then = before.get(path, state)
        if then == state:
            continue
        was, content = (text.rpartition(", ")[0] for text in (then, state))
        said = f"{path} is not what it was at the launch of {run.name} (it had {was} and has {content})"
        if path not in training:
            warn(
                f"{said}: evaluations from now on are of the new rows, so compare no losses across the change"
            )
        elif newest is None:
            warn(f"{said}; there is no checkpoint yet, so the run begins on the new rows")
        elif was == content and "changed at" in state:
            warn(
                f"{path} was written again since the launch of {run.name}, with the same size; if its rows are others, some "
                f"are trained on twice and others never: {newest.path.name} is a place in the old ones"
            )
        else:
            raise RunError(
                f"{said}, and {newest.path.name} is a place in the old rows; put the old data back, or launch a new "
                f"run that begins with its weights: resume={run.name} resume_weights_only=true"
            )
