"""The data of a run that is resumed, compared with that of its last plan: what survives a change, and what does not.

A checkpoint's position is a number of rows in one order. With other rows at these places, some would be trained on twice and
others never, so other training data is refused once there is a checkpoint. Evaluation data may change.
"""

import enum
import hashlib
import re
from pathlib import Path

from launcher.data.places import find_files, is_address, size_of, state_of
from launcher.errors import DataError, RunError
from launcher.hub import HUB
from launcher.output import warn
from launcher.plan import Facts
from launcher.run import RunDir
from launcher.run.events.launching import Planned, Replanned
from launcher.units import plural

_WHOLE = 64 << 20
"""Bytes up to which a file is compared as a whole. Of a larger one _PARTS parts, evenly spread, are compared, and the time of
its last change is noted too."""
_PARTS = 256
_PART = _WHOLE // _PARTS
_NOTED = re.compile(
    r"(?P<size>[\d,]+ files?, [\d,]+ bytes)(?:, sha256(?: of parts)? (?P<digest>\w+))?"
    r"(?:, (?:written|changed at) (?P<time>\w+))?"
)


class DataAt(enum.Enum):
    """Where the data is that is compared.

    A batch host may have no network, and a store then answers only after minutes: so the supervisor looks at files, and the
    rank that reads the data of a store looks at that.
    """

    ANY_PLACE = enum.auto()
    FILES = enum.auto()
    ADDRESSES = enum.auto()

    def has(self, path: str) -> bool:
        """Whether data of this path is compared."""
        return self is DataAt.ANY_PLACE or (self is DataAt.ADDRESSES) == is_address(path)


def data_states(facts: Facts, at: DataAt = DataAt.ANY_PLACE) -> dict[str, str]:
    """Data path -> number of files, size and what changes with the content; without the data that cannot be read here."""
    found: dict[str, str] = {}
    for path in facts.all_data:
        if path.startswith(HUB) or not at.has(path):
            continue
        try:
            found[path] = _state(facts.data_files.get(path) or find_files(path))
        except (DataError, OSError):
            continue
    return found


def _state(files: tuple[str, ...]) -> str:
    sizes, digests, times = 0, list[str](), list[str]()
    for file in files:
        if is_address(file):
            sizes += size_of(file)
            digests.append(state_of(file))
            continue
        status = Path(file).stat()
        sizes += status.st_size
        digests.append(_digest_of(Path(file), status.st_size))
        if status.st_size > _WHOLE:
            times.append(str(status.st_mtime_ns))
    said = f"{plural(len(files), 'file')}, {sizes:,} bytes, sha256{' of parts' if times else ''} {_joined(digests)}"
    return f"{said}, written {_joined(times)}" if times else said


def _digest_of(file: Path, size: int) -> str:
    """The digest of the file's content, or of evenly spread parts of a large one, the first and the last among them."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        if size <= _WHOLE:
            while piece := content.read(_PART):
                digest.update(piece)
            return digest.hexdigest()
        for number in range(_PARTS):
            content.seek((size - _PART) * number // (_PARTS - 1))
            digest.update(content.read(_PART))
    return digest.hexdigest()


def _joined(values: list[str]) -> str:
    return values[0] if len(values) == 1 else hashlib.sha256(" ".join(values).encode()).hexdigest()


def check_data_is_same(run: RunDir, facts: Facts, at: DataAt = DataAt.ANY_PLACE) -> None:
    """RunError if the training data differs from that of the run's last plan and a checkpoint has a position in it; a warning
    for other changes."""
    from launcher.checkpoint.folders import committed  # imported here: a new run has no checkpoint

    planned = [event for event in run.read_events(Planned, Replanned) if event.data]
    before, now = (planned[-1].data or {}) if planned else {}, data_states(facts, at)
    newest = next(iter(committed(run.checkpoints)), None)
    training = facts.training_data
    for path, state in now.items():
        then = before.get(path, state)
        if then == state or (differs := _differ(then, state)) is None:
            continue
        was, content = (text.partition(", sha256")[0].partition(", changed at")[0] for text in (then, state))
        had = (
            f"it had {was} and has {content}"
            if was != content
            else f"it still has {content}, but their content differs"
        )
        said = f"{path} has changed since the launch of {run.name} ({had})"
        if path not in training:
            warn(
                f"{said}: evaluations now use the new rows, so their losses cannot be compared with earlier ones"
            )
        elif newest is None:
            warn(f"{said}; there is no checkpoint yet, so the run begins on the new rows")
        elif not differs:
            warn(
                f"{path} was written again since the launch of {run.name}, and the parts that were compared are the same; if "
                "other parts changed, some rows are trained on twice and some never, because "
                f"{newest.path.name} has a position in the old rows"
            )
        else:
            raise RunError(
                f"{said}, and {newest.path.name} has a position in the old rows; put the old data back, or launch a new "
                f"run that begins with its weights: resume={run.name} resume_weights_only=true"
            )


def _differ(then: str, now: str) -> bool | None:
    """True if the contents differ for certain, False if only the time of the last change differs, None if nothing differs."""
    old, new = (_NOTED.fullmatch(text) for text in (then, now))
    if old is None or new is None or old["size"] != new["size"]:
        return True
    if old["digest"] and new["digest"] and old["digest"] != new["digest"]:
        return True
    if old["digest"] and new["time"] is None:
        return None
    return None if old["time"] == new["time"] else False
