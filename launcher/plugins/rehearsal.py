"""A rank that kills itself on request: `python -m launcher rehearse` adds this plugin to its copy of a run."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher import environment
from launcher.plugins.base import Plugin
from launcher.reading import object_in


@dataclass(frozen=True, kw_only=True)
class Rehearsal(Plugin):
    """SIGKILL from within the rank. It needs no access to the nodes, and looks the same as a kill from outside."""

    file: str = "kill.json"
    """File in the run dir; while it exists, rank N of its {"rank": N} kills itself after its next step."""

    def on_trainer(self, trainer: Any) -> Any:
        """The trainer, which looks for the file after every step."""
        from transformers import TrainerCallback

        request = Path(trainer.args.output_dir).parent / self.file
        rank = int(os.environ.get(environment.RANK, "0"))

        class Die(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if (object_in(request) or {}).get("rank") == rank:
                    request.unlink()
                    os.kill(os.getpid(), signal.SIGKILL)

        trainer.add_callback(Die())
        return trainer
