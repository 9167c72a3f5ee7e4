"""python -m launcher data check|convert|rules: a data file's faults, and its rows in another format."""

from launcher.cli.verb import Verbs

VERB = Verbs(
    line="check a data file before a launch, or write it in another format",
    example="data check train.jsonl --eval eval.jsonl --model smollm2_135m",
    group="data",
)
