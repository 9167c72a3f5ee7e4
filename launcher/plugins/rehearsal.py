"""A rank that kills itself when it is asked to: what `python -m launcher rehearse` adds to its copy of a run."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.plugins.base import Plugin


@dataclass(frozen=True, kw_only=True)
class Rehearsal(Plugin):
    """SIGKILL from within: it needs no way into the nodes, and is the same to everyone else."""

    file: str = "kill.json"
    """In the run dir; while it is there, rank N of its {"rank": N} dies after its next step."""

    def on_trainer(self, trainer: Any) -> Any:
        """Looks for the file after every step."""
        from transformers import TrainerCallback

        asked = Path(trainer.args.output_dir).parent / self.file
        rank = int(os.environ.get("RANK", "0"))

        class Die(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if asked.exists() and json.loads(asked.read_text())["rank"] == rank:
                    asked.unlink()
                    os.kill(os.getpid(), signal.SIGKILL)

        trainer.add_callback(Die())
        return trainer
