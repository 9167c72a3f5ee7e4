"""python -m launcher data teach +experiment=NAME trainer=distill trainer.teacher=MODEL [key=value ...]: its predictions."""

import argparse
from datetime import datetime

from launcher.after.teach import describe, printed, teach
from launcher.after.tokenize import plan_tokens
from launcher.cli.parser import positive
from launcher.cli.verb import Verb
from launcher.data.stored_output import StoredOutput
from launcher.errors import Exit
from launcher.launching.compose import compose
from launcher.output import print_json, print_text
from launcher.protocol.work.results import TaughtFolder

_TOP_K = 64


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--top-k", type=positive, default=_TOP_K, metavar="K",
        help=f"how many of the most likely next tokens are stored at each token; all others count as one (default: {_TOP_K})",
    )  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    moment = datetime.now()
    for one in compose(options.overrides):
        composed, plan = plan_tokens(one, moment)
        result = teach(composed, plan, options.top_k, quiet=options.json)
        print_json(printed(*result)) if options.json else print_text(describe(*result), flush=True)
    return Exit.OK


VERB = Verb(
    line="store a teacher's predictions for the rows of a distillation, so that its runs load no teacher",
    about="It takes the arguments of the launch. The teacher runs here, once over the rows of both sets, "
    "on the GPUs of this machine or else on its CPUs; at each trained token it stores the most likely next tokens and their "
    "probabilities. "
    "The folder is in cache_dir; trainer.teacher_logits=FOLDER takes it in place of trainer.teacher.",
    example="data teach +experiment=llama8b_lora trainer=distill trainer.teacher=my/teacher data.path=chats.jsonl\n"
    "data teach --config my_run.yaml --top-k 128",
    add=_add,
    run=_run,
    prints=(TaughtFolder, StoredOutput),
    overrides=True,
    runs_dir=False,
)
