"""python -m launcher site probe|check: a cluster file made from the site's answers, and a check of one against them."""

from launcher.cli.verb import Verbs

VERB = Verbs(
    line="describe a cluster by its own answers, or check a cluster file against them",
    example="site probe --write ~/site/cluster/mysite.yaml",
)
