"""The tasks of the stand-in."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml


class Task:
    """One task, with one document."""

    config = SimpleNamespace(doc_to_choice=None)
    eval_docs = ("a document",)

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given

    def doc_to_text(self, doc: str) -> str:
        return doc

    def doc_to_target(self, doc: str) -> str:
        return doc


class TaskManager:
    """Reads task files."""

    def __init__(self, include_defaults: bool = True) -> None:
        self.found: dict[str, Task] = {}

    def load(self, names: list[str]) -> dict[str, dict[str, Task]]:
        for name in names:
            given = yaml.safe_load(Path(name).read_text())
            self.found[given["task"]] = Task(given)
        return {"tasks": self.found}
