"""The page of environment variables."""

from launcher.clusters.slurm.environment import VARIABLES as SLURM_VARIABLES
from launcher.environment import VARIABLES
from launcher.reference.markdown import code, page, table
from launcher.trackers.registry import TRACKERS


def environment_page() -> str:
    """docs/reference/environment.md."""
    intro = (
        "Every environment variable that this project sets or reads. A value that a person or a site has set is kept where the "
        "table says so. `cluster.env` sets variables for the ranks; a secret belongs in your own environment."
    )
    trackers = (one for tracker in TRACKERS.own() for one in tracker.environment)
    rows = [
        (code(one.name), one.meaning, one.set_by, one.read_by)
        for one in (*VARIABLES.values(), *trackers, *SLURM_VARIABLES.values())
    ]
    return page("Environment variables", intro, table(("variable", "meaning", "set by", "read by"), rows))
