"""Records of requests to the API, in files under runs_dir/managed, so that an interrupted command can be run again."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launcher.errors import RunError
from launcher.reading import read_json
from launcher.run import now, write_text
from launcher.run.kinds import fits
from launcher.run.record import is_kind

TAG = "launcher"
"""Key of the tag in a job's metadata; the tag finds the job again."""
_RECORD: Mapping[str, Any] = {"begun": str, "tag": str, "job": Mapping[str, Any] | None}
"""Fields that every record of a job has."""


class Records:
    """The files of the folder: uploaded.json, and a record for each requested job."""

    def __init__(self, runs_dir: Path) -> None:
        self.folder = runs_dir / "managed"

    @property
    def data(self) -> Path:
        """Folder of the files as they were uploaded."""
        return self.folder / "data"

    def uploaded(self, base: str, sha256: str) -> str | None:
        """The id of a file that was uploaded to that API; None if it was not."""
        return self._uploads().get(f"{base} {sha256}")

    def note_upload(self, base: str, sha256: str, file_id: str) -> None:
        """Stores the id of an uploaded file."""
        self._write(self.folder / "uploaded.json", {**self._uploads(), f"{base} {sha256}": file_id})

    def path(self, tag: str) -> Path:
        """The file with the record of a job."""
        return self.folder / f"job_{tag}.json"

    def read(self, tag: str) -> dict[str, Any] | None:
        """A record; None if that job was never requested."""
        return _read(self.path(tag), _RECORD)

    def begin(self, tag: str, base: str, request: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """Records a job that is about to be requested."""
        self._write(
            self.path(tag),
            {"tag": tag, "base_url": base, "begun": now(), "asked": request, **about, "job": None},
        )

    def note_job(self, job: Mapping[str, Any]) -> None:
        """Stores the job's newest state in its record; a job that was not created here gets a new record."""
        record = self.find(str(job["id"])) or self.read(tag_in(job)) or {}
        tag = record.get("tag") or hashlib.sha256(str(job["id"]).encode()).hexdigest()[:16]
        kept = {
            name: job.get(name)
            for name in ("id", "status", "model", "fine_tuned_model", "trained_tokens", "error")
        }
        self._write(self.path(tag), {"begun": now(), **record, "tag": tag, "job": kept, "seen": now()})

    def find(self, job_id: str) -> dict[str, Any] | None:
        """The record of a job id; None if there is none."""
        return next((one for one in self._all() if one.get("job") and one["job"]["id"] == job_id), None)

    def newest(self) -> str:
        """The id of the job that was requested last; RunError if there is none."""
        known = [one for one in self._all() if one.get("job")]
        if not known:
            raise RunError(
                f"{self.folder} has no record of a job; give a job id, as python -m launcher managed list shows them"
            )
        return str(max(known, key=lambda one: one["begun"])["job"]["id"])

    def _all(self) -> list[dict[str, Any]]:
        tags = [path.stem.removeprefix("job_") for path in self.folder.glob("job_*.json")]
        return [one for tag in tags if (one := self.read(tag))]

    def _uploads(self) -> dict[str, str]:
        path = self.folder / "uploaded.json"
        found = _read(path, {}) or {}
        if not is_kind(found, Mapping[str, str]):
            raise RunError(f"{path} is not a record of uploads; was it edited?")
        return found

    def _write(self, path: Path, value: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _read(path: Path, kinds: Mapping[str, Any]) -> dict[str, Any] | None:
    """The object in a file, whose values have these kinds; None if there is no file. RunError for any other content."""
    try:
        found = read_json(path)
    except FileNotFoundError:
        return None
    job: Any = found.get("job") if fits(found, kinds) else None
    if (
        not fits(found, kinds)
        or not kinds.keys() <= found.keys()
        or (job and not isinstance(job.get("id"), str))
    ):
        raise RunError(f"{path} is not a record of requests to an API; was it edited?")
    return dict(found)


def tag_in(job: Mapping[str, Any]) -> str:
    """The tag that a job was created with; empty for a job that was not created here."""
    metadata: dict[str, Any] = job.get("metadata") or {}
    return str(metadata.get(TAG, ""))


def tag_of(base: str, request: Mapping[str, Any], number: int) -> str:
    """The tag of a request, the same for every call with the same job and contents. `number` counts repeated jobs, from 0."""
    return hashlib.sha256(json.dumps([base, request, number], sort_keys=True).encode()).hexdigest()[:16]
