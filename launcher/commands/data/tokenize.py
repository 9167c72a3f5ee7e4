"""python -m launcher data tokenize +experiment=NAME [key=value ...]: a run's tokens, made before it on CPUs."""

import argparse
from datetime import datetime

from launcher.after.tokenize import Tokenized, cores, describe, plan_tokens, tokenize
from launcher.cli.values import positive
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.launching.compose import compose
from launcher.output import print_json


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="processes that tokenize (default: the cores of this process)"
    )  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    moment = datetime.now()
    for one in compose(options.overrides):
        composed, plan = plan_tokens(one, moment)
        result = tokenize(composed, plan, options.workers or cores(), quiet=options.json)
        print_json(result) if options.json else print(describe(result), flush=True)
    return Exit.OK


VERB = Verb(
    line="make the tokens of a run's data ahead of it, on CPUs",
    about="It takes the arguments of the launch. The tokens go into cache_dir, where the run finds them: then no GPU waits for "
    "them. Several processes share the work.",
    example="data tokenize +experiment=llama8b_lora data.path=train.jsonl\n"
    "data tokenize --config my_run.yaml --workers 32",
    add=_add,
    run=_run,
    prints=Tokenized,
    overrides=True,
    runs_dir=False,
)
