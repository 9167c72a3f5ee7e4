"""What was asked of the API before, in files under runs_dir/managed, so that a command that was cut can be typed again."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launcher.errors import RunError
from launcher.run import now, write_text

TAG = "launcher"
"""Key in a job's metadata under which it is found again."""


class Records:
    """The folder's files: uploaded.json, and a record for each job that was asked for."""

    def __init__(self, runs_dir: Path) -> None:
        self.folder = runs_dir / "managed"

    @property
    def data(self) -> Path:
        """Files as they were uploaded."""
        return self.folder / "data"

    def uploaded(self, base: str, sha256: str) -> str | None:
        """The id of a file that was uploaded there."""
        return self._uploads().get(f"{base} {sha256}")

    def note_upload(self, base: str, sha256: str, file_id: str) -> None:
        """Keeps the id."""
        self._write(self.folder / "uploaded.json", {**self._uploads(), f"{base} {sha256}": file_id})

    def path(self, tag: str) -> Path:
        """The record of a job."""
        return self.folder / f"job_{tag}.json"

    def read(self, tag: str) -> dict[str, Any] | None:
        """A record; None where that job was never asked for."""
        path = self.path(tag)
        try:
            return json.loads(path.read_text()) if path.is_file() else None
        except ValueError as error:
            raise RunError(f"{path} is not JSON ({error}); was it edited?") from None

    def begin(self, tag: str, base: str, asked: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """Notes a job that is about to be asked for."""
        self._write(
            self.path(tag),
            {"tag": tag, "base_url": base, "begun": now(), "asked": asked, **about, "job": None},
        )

    def note_job(self, job: Mapping[str, Any]) -> None:
        """Keeps the job's newest state in its record; a job from elsewhere gets one of its own."""
        record = self.find(str(job["id"])) or self.read(tag_in(job)) or {}
        tag = record.get("tag") or hashlib.sha256(str(job["id"]).encode()).hexdigest()[:16]
        kept = {
            name: job.get(name)
            for name in ("id", "status", "model", "fine_tuned_model", "trained_tokens", "error")
        }
        self._write(self.path(tag), {"begun": now(), **record, "tag": tag, "job": kept, "seen": now()})

    def find(self, job_id: str) -> dict[str, Any] | None:
        """The record of a job id."""
        return next((one for one in self._all() if one.get("job") and one["job"]["id"] == job_id), None)

    def newest(self) -> str:
        """The id of the job that was asked for last; RunError where there is none."""
        known = [one for one in self._all() if one.get("job")]
        if not known:
            raise RunError(
                f"no job was created from {self.folder}; name one, python -m launcher managed list shows them"
            )
        return str(max(known, key=lambda one: one["begun"])["job"]["id"])

    def _all(self) -> list[dict[str, Any]]:
        tags = [path.stem.removeprefix("job_") for path in self.folder.glob("job_*.json")]
        return [one for tag in tags if (one := self.read(tag))]

    def _uploads(self) -> dict[str, str]:
        path = self.folder / "uploaded.json"
        return json.loads(path.read_text()) if path.is_file() else {}

    def _write(self, path: Path, value: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def tag_in(job: Mapping[str, Any]) -> str:
    """The tag that a job was created with; empty for one from elsewhere."""
    metadata: dict[str, Any] = job.get("metadata") or {}
    return str(metadata.get(TAG, ""))


def tag_of(base: str, asked: Mapping[str, Any], number: int) -> str:
    """One tag for all calls that ask for the same job of the same contents; `number`: the how manieth of them."""
    return hashlib.sha256(json.dumps([base, asked, number], sort_keys=True).encode()).hexdigest()[:16]
