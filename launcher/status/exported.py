"""Whether a run's exported model passed its check, and whether it was pushed to a hub as asked."""

from launcher.run.events.launching import NotPushed, Pushed
from launcher.run.events.ranks import Exported
from launcher.run.history import History


def failed_check(found: Exported | None) -> str | None:
    """One sentence on an export that was kept although its check failed; None for any other."""
    if found is None or not found.why:
        return None
    return f"the check of {found.path} failed, but it was kept: {found.why}"


def failed_push(history: History, run: str) -> str | None:
    """One sentence on a result that was not pushed; None if it was, or nobody asked for it."""
    failed, pushed = history.newest(NotPushed), history.newest(Pushed)
    if failed is None or (pushed is not None and pushed.time >= failed.time):
        return None
    return f"it was not pushed to {failed.repository}: {failed.reason}; push it with python -m launcher push {run}"
