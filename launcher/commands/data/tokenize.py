"""python -m launcher data tokenize +experiment=NAME [key=value ...]: a run's tokens, made before it on CPUs."""

import argparse
from datetime import datetime

from launcher.after.tokenize import cores, describe, plan_tokens, tokenize
from launcher.after.tokens_job import TokensQueued, describe_job, parse_options, queue
from launcher.cli.parser import positive
from launcher.cli.verb import Verb
from launcher.config.spelling import is_limit
from launcher.errors import Exit, UsageError
from launcher.launching.compose import compose
from launcher.output import print_json, print_text
from launcher.protocol.work.results import Tokenized

_CORES = 16
_TIME = "04:00:00"


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=positive, metavar="N", help=f"processes (default: the cores here; with --queue {_CORES})"
    )  # fmt: skip
    parser.add_argument(
        "--queue",
        action="store_true",
        help="queue it as a job without GPUs on the cluster of the configuration",
    )
    parser.add_argument(
        "--time", default=_TIME, metavar="T", help=f"time limit of that job (default: {_TIME})"
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE",
        help="an option of the scheduler for that job, by its long name, such as partition=cpu or mem=64G; may be repeated",
    )  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    moment, given = datetime.now(), parse_options(options.option)
    if not options.queue and (given or options.time != _TIME):
        raise UsageError("--time and --option are for a queued job; give --queue too")
    if not is_limit(options.time) and not options.time.isdigit():
        raise UsageError(f"--time {options.time}: write minutes, HH:MM:SS or D-HH:MM:SS")
    for one in compose(options.overrides):
        composed, plan = plan_tokens(one, moment)
        if options.queue:
            job = queue(
                composed,
                plan,
                options.overrides,
                cores=options.workers or _CORES,
                time=options.time,
                given=given,
            )
            print_json(job) if options.json else print_text(describe_job(job), flush=True)
            continue
        result = tokenize(composed, plan, options.workers or cores(), quiet=options.json)
        print_json(result) if options.json else print_text(describe(result), flush=True)
    return Exit.OK


VERB = Verb(
    line="tokenize a run's data before the run, on CPUs",
    about="It takes the arguments of the launch. The tokens are written into cache_dir, where the run finds "
    "them, so that no GPU waits for them. Several processes share the work.",
    example="data tokenize +experiment=llama8b_lora data.path=train.jsonl\n"
    "data tokenize --config my_run.yaml --workers 32\n"
    "data tokenize +experiment=llama8b_lora data.path=train.jsonl --queue --option partition=cpu",
    add=_add,
    run=_run,
    prints={"": Tokenized, "with --queue": TokensQueued},
    overrides=True,
    runs_dir=False,
)
