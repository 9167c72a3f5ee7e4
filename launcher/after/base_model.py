"""Whether the base model has changed on the hub since a run trained on it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from launcher.config import Init, ModelConfig, read_config
from launcher.hub import offline_variable
from launcher.run import RunDir
from launcher.run.events.ranks import Base

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a run's base model has changed on the hub since the run trained on it."""

    verdict: str
    """same, moved or cannot_tell."""
    model: str
    """The run's model.name_or_path."""
    branch: str
    """The branch or tag that was checked: the run's own, or main if the run names a commit."""
    trained: str | None
    """The commit that the run trained on."""
    newest: str | None
    """The commit that the branch has now."""
    reason: str
    """The reason for the verdict, in one sentence."""


def look_at_base(run: RunDir, timeout_s: float) -> Verdict:
    """The verdict on one run."""
    model = read_config(str(run.config)).model
    trained = _trained(run, model)
    own = model.revision
    branch = own if own and not _COMMIT.fullmatch(own) else "main"
    work_dir = str(run.read_json(run.plan)["facts"]["work_dir"])
    newest: str | None = None
    reason = _not_on_a_hub(model, work_dir) or _offline()
    if not reason and trained is None:
        reason = "the run has not recorded which revision it loaded: it ended before that, or never started"
    if not reason:
        newest, reason = _ask(model.name_or_path, branch, timeout_s)
    if newest is None or trained is None:
        verdict = "cannot_tell"
    elif newest == trained:
        verdict, reason = "same", f"{branch} is still {newest[:12]}"
    else:
        verdict = "moved"
        reason = f"trained on {trained[:12]}, and {branch} is {newest[:12]} now; see what changed, and whether it matters"
    return Verdict(
        verdict=verdict,
        model=model.name_or_path,
        branch=branch,
        trained=trained,
        newest=newest,
        reason=reason,
    )


def _trained(run: RunDir, model: ModelConfig) -> str | None:
    """The commit that the ranks have recorded, otherwise the configured commit, if any."""
    noted = [event.commit for event in run.read_events(Base)]
    if noted:
        return noted[-1]
    return model.revision if model.revision and _COMMIT.fullmatch(model.revision) else None


def _not_on_a_hub(model: ModelConfig, work_dir: str) -> str:
    if model.init is Init.random:
        return "the ranks made the model with random weights from the seed"
    if model.name_or_path.startswith("package:"):
        return "the model comes from an installed Python package; pip list shows its version"
    if Path(work_dir, model.name_or_path).is_dir():
        return "the model is a local folder, and changes in it are not tracked"
    return ""


def _offline() -> str:
    name = offline_variable(os.environ)
    return f"{name} is set, so the hub is not queried; unset it" if name else ""


def _ask(name: str, branch: str, timeout_s: float) -> tuple[str | None, str]:
    """The branch's commit on the hub, or None and the reason."""
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            HTTPError,  # pyright: ignore[reportPrivateImportUsage]
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError:
        return (
            None,
            "huggingface_hub is not installed here; pip install huggingface_hub, or run this on a node",
        )
    try:
        return HfApi().model_info(name, revision=branch, timeout=timeout_s).sha, "the hub reports no commit"
    except GatedRepoError:
        return None, f"{name} is gated: accept its licence on the hub and export HF_TOKEN"
    except RepositoryNotFoundError:
        return None, f"the hub has no {name}, or you have no access to it; export HF_TOKEN if it is private"
    except RevisionNotFoundError:
        return None, f"{name} no longer has {branch} on the hub"
    except HFValidationError:
        return None, f"{name} is neither a folder here nor the name of a model on a hub"
    except (HfHubHTTPError, HTTPError, OSError) as error:
        reason_lines = str(error).strip().splitlines()
        return None, f"the hub does not answer ({reason_lines[0] if reason_lines else type(error).__name__})"
