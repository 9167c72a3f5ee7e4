"""python -m launcher site probe|check: a cluster file from the site itself, and what of one no longer holds."""

from launcher.cli.verb import Verbs

VERB = Verbs(
    line="learn a cluster by its own answers, or check a cluster file against them",
    example="site probe --write ~/site/cluster/mysite.yaml",
)
