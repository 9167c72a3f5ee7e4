"""The folder of the server, and where each thing lies in it. Every name in it was made by the server, never by a request."""

import os
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from launcher.api.store import Store
from launcher.errors import ClusterError, RunError
from launcher.run.locks import try_lock

_ID = re.compile(r"(file|ftjob|ftevent)-[0-9a-f]{24}")


def new_id(kind: str) -> str:
    """A new id, such as file-0123..., which nobody can guess."""
    return f"{kind}-{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class DataDir:
    """Paths of the data folder."""

    folder: Path

    @property
    def incoming(self) -> Path:
        """Uploads that have not arrived completely."""
        return self.folder / "incoming"

    @property
    def runs(self) -> Path:
        """The runs_dir of all jobs."""
        return self.folder / "runs"

    @property
    def cache(self) -> Path:
        """The cache_dir of all jobs."""
        return self.folder / "cache"

    @property
    def models(self) -> Path:
        """The settings of each offered model, as files that jobs extend."""
        return self.folder / "models"

    @property
    def work(self) -> Path:
        """The empty folder in which jobs are launched: the code that a run keeps includes this folder."""
        return self.folder / "work"

    def file(self, file_id: str) -> Path:
        """The content of an uploaded file."""
        return self.folder / "files" / _checked(file_id)

    def job(self, job_id: str) -> Path:
        """What a job keeps of its own: its data and its settings."""
        return self.folder / "jobs" / _checked(job_id)

    def runs_of(self, job_id: str) -> Path:
        """The folder of the job's run."""
        return self.runs / _checked(job_id)

    def hide(self, text: str) -> str:
        """A text for clients: without the path of this folder."""
        return text.replace(str(self.folder), "...")

    def make(self) -> None:
        """Makes the folders, which only this user can read; RunError if that cannot be done."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.folder.stat().st_uid != os.getuid():
                raise RunError(
                    f"--data-dir {self.folder} belongs to another user; choose a folder of your own"
                )
            self.folder.chmod(0o700)
            for name in ("files", "jobs", "incoming", "runs", "models", "cache", "work"):
                (self.folder / name).mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise RunError(
                f"--data-dir {self.folder} cannot be used: {error.strerror}; choose another folder"
            ) from None

    def lock(self) -> IO[str]:
        """The open lock file; ClusterError if another server has this folder, RunError if the file system has no locks."""
        file = (self.folder / "server.lock").open("a+")
        try:
            if try_lock(file):
                return file
        except OSError as error:
            file.close()
            raise RunError(
                f"--data-dir {self.folder} is on a file system without locks ({error.strerror}); choose a folder on another one"
            ) from None
        file.close()
        raise ClusterError(
            f"--data-dir {self.folder} is in use by another server; end that one, or choose another folder"
        )

    def remove_leftovers(self, store: Store) -> None:
        """Deletes what a killed server has left: parts of uploads, and files and folders that no answer has named."""
        for name, query in (
            ("files", "SELECT id FROM files"),
            ("jobs", "SELECT id FROM jobs WHERE stage != 'over'"),
        ):
            known = {row["id"] for row in store.rows(query)}
            for path in (self.folder / name).iterdir():
                if path.name not in known:
                    remove(path)
        for row in store.rows("SELECT id FROM jobs WHERE stage = 'over' AND run IS NULL"):
            remove(self.runs_of(row["id"]))  # planned, and cancelled before it was submitted
        for path in self.incoming.iterdir():
            remove(path)


def remove(path: Path) -> None:
    """Deletes a file or a folder, if it is there. Parts of a folder that cannot be deleted are left for `remove_leftovers`."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _checked(name: str) -> str:
    """The id; ValueError for any other text, so that none can become a part of a path."""
    if not _ID.fullmatch(name):
        raise ValueError(f"{name!r} is not an id of this server")
    return name
