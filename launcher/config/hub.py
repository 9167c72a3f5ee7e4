"""The hub keys: what becomes of the result on a model hub."""

from dataclasses import dataclass
from typing import Optional

# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.


@dataclass(kw_only=True)
class HubConfig:
    """Where the result goes on a model hub."""

    push: Optional[str] = None  # noqa: UP045
    """Repository OWNER/NAME that the finished run pushes its result to, from the machine that runs its job script; `launcher
    push` does the same later. null pushes nothing."""
    merged: bool = False
    """Whether the adapter is pushed merged with its base, as one model, which is made first; otherwise model/ is pushed as it
    is."""
    private: bool = True
    """Whether the repository is made private; one that exists stays as it is."""
