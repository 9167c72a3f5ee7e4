"""The manifest of a checkpoint. It is written last, and a folder without a correct one is not a checkpoint."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launcher.errors import CheckpointError, RunError
from launcher.reading import read_json
from launcher.run.kinds import fits

MANIFEST = "manifest.json"
FORMAT = 1
_KINDS: Mapping[str, Any] = {
    "format": int, "step": int, "samples": int, "tokens": int, "epoch": float, "world_size": int, "strategy": str, "run": str,
    "attempt": int, "plan_digest": str, "global_batch_size": int, "samples_per_epoch": int, "seed": int, "why": str,
    "eval_loss": float | None, "time": str, "versions": Mapping[str, str], "parameters": Mapping[str, Sequence[int]],
    "files": Mapping[str, Mapping[str, Any]], "weights_only": bool, "writers": Mapping[str, int],
}  # fmt: skip
"""The types that the fields of Manifest have in JSON."""
_FACTS: Mapping[str, Any] = {"bytes": int, "crc32": str}
_FILE = re.compile(r"\w[\w.-]*", re.ASCII)
"""A name of a file in the folder, and of nothing outside of it."""
_FOLDER = re.compile(r"step_(\d{8,})")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """The expected size and digest of a file."""

    bytes: int
    crc32: str
    """Eight hexadecimal digits. Source: zlib."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One committed checkpoint."""

    format: int
    step: int
    """Optimizer steps done."""
    samples: int
    """Sequences trained on: the position in the data, over all ranks."""
    tokens: int
    epoch: float
    world_size: int
    strategy: str
    run: str
    attempt: int
    plan_digest: str
    """SHA-256 of plan.json."""
    global_batch_size: int
    samples_per_epoch: int
    seed: int
    why: str
    """The reason for the save: interval, end, or another one."""
    eval_loss: float | None
    """Evaluation loss at this step; None if the step was not evaluated."""
    time: str
    versions: Mapping[str, str]
    parameters: Mapping[str, list[int]]
    """Shape of every trained parameter."""
    files: Mapping[str, FileFacts]
    weights_only: bool = False
    """Whether it lacks the optimizer's state. The file has this key only if true, because earlier versions do not know it."""
    writers: Mapping[str, int] = field(default_factory=dict[str, int])
    """Parameter that one rank has written whole, with its optimizer state -> that rank. Of a parameter that is not listed,
    every rank may hold a part. The file has this key only if it lists one; earlier versions wrote none."""

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files.values())

    def to_text(self) -> str:
        """The file's content."""
        values = dataclasses.asdict(self)
        for name in ("weights_only", "writers"):
            if not values[name]:
                del values[name]
        return json.dumps(values, indent=1) + "\n"


def folder_name(step: int) -> str:
    """The name of a step's folder."""
    return f"step_{step:08d}"


def step_of(folder: Path) -> int | None:
    """The optimizer step in the name of a folder; None if it is not the name of a checkpoint."""
    found = _FOLDER.fullmatch(folder.name)
    return int(found[1]) if found else None


def rank_file(rank: int) -> str:
    """The name of a rank's file."""
    return f"rank_{rank:05d}.safetensors"


def state_file(rank: int) -> str:
    """The name of the file with a rank's state that is not in tensors."""
    return f"rank_{rank:05d}.json"


def read_manifest(folder: Path, *, sizes: bool = True) -> Manifest:
    """The manifest; CheckpointError if a value is wrong or if a file of a rank is not listed, because it could not be verified.

    With `sizes`, CheckpointError also if a file has another size than the manifest says.
    """
    path = folder / MANIFEST
    try:
        values: dict[str, Any] = read_json(path)
        if not fits(values, _KINDS):
            raise TypeError("a value has a type that a save never writes")
        files = {str(name): _facts(name, facts) for name, facts in values.pop("files").items()}
        manifest = Manifest(**values, files=files)
    except FileNotFoundError:
        raise CheckpointError(f"{folder} has no {MANIFEST}: it was never committed") from None
    except (RunError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a manifest ({type(error).__name__}: {error})") from None
    if manifest.format != FORMAT:
        raise CheckpointError(f"{path} has format {manifest.format}; this version reads {FORMAT}")
    missing = _unlisted(manifest)
    if missing is not None:
        raise CheckpointError(f"{path} does not list {missing}, so that this file cannot be verified")
    for name, facts in files.items() if sizes else ():
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise CheckpointError(f"{folder / name} cannot be read: {error.strerror}") from None
        if size != facts.bytes:
            raise CheckpointError(f"{folder / name} has {size} bytes, but the manifest says {facts.bytes}")
    return manifest


def _facts(name: str, facts: Mapping[str, Any]) -> FileFacts:
    if not _FILE.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is not the name of a file in its folder")
    if not fits(facts, _FACTS):
        raise TypeError(f"the size or digest of {name} has a type that a save never writes")
    return FileFacts(**facts)


def _unlisted(manifest: Manifest) -> str | None:
    """The first file of a rank that the manifest does not list; None if it lists all."""
    ranks = min(manifest.world_size, len(manifest.files) + 1)  # a damaged manifest can have any world_size
    names = (name for rank in range(max(1, ranks)) for name in (rank_file(rank), state_file(rank)))
    return next((name for name in names if name not in manifest.files), None)
