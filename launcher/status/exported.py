"""Whether a run's exported model passed its check."""

from launcher.run.events.ranks import Exported


def failed_check(found: Exported | None) -> str | None:
    """One sentence on an export that was kept although its check failed; None for any other."""
    if found is None or not found.why:
        return None
    return f"the check of {found.path} failed, and it was kept: {found.why}"
