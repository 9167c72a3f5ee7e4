"""python -m launcher push [RUN]: a run's adapter or model on a model hub."""

import argparse

from launcher.after.choose import exported
from launcher.after.push import export_of, push_folder, push_run
from launcher.after.upload import PushResult, describe
from launcher.cli.parser import add_checkpoint, add_run, add_trust, trusted_run
from launcher.cli.verb import Verb
from launcher.errors import Exit, UsageError
from launcher.output import print_json, print_text, warn


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_trust(parser)
    parser.add_argument("--to", metavar="OWNER/NAME", help="the repository (default: the run's hub.push)")
    parser.add_argument("--merged", action="store_true", help="the adapter and its base as one model")
    add_checkpoint(parser)
    parser.add_argument(
        "--public", action="store_true", help="make a new repository public (default: private)"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace files of the same name in a repository with other content",
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code; 3 if the hub does not answer or the upload ended early."""
    folder = exported(options.run) or export_of(options.run)
    if folder is None:
        result = push_run(
            trusted_run(options), to=options.to, merged=options.merged, public=options.public,
            checkpoint=options.checkpoint, force=options.force, quiet=options.json,
        )  # fmt: skip
    elif options.merged or options.checkpoint:
        raise UsageError(f"{folder} is an export; --merged and --checkpoint need a run")
    else:
        result = push_folder(
            folder, to=options.to, public=options.public, force=options.force, quiet=options.json
        )
    if result["warning"]:
        warn(result["warning"])
    print_json(result) if options.json else print_text(describe(result))
    return Exit.OK


VERB = Verb(
    line="push a run's adapter or model, with its card, to a model hub",
    about="RUN can be a folder that export has written. The repository is private unless you say otherwise, all files arrive "
    "in one commit, and a push that was interrupted can be typed again. The token is taken from HF_TOKEN or `hf auth login`.",
    example="push llama8b_lora --to me/my-model\npush llama8b_lora --to me/my-model-merged --merged",
    add=_add,
    run=_run,
    prints=PushResult,
    group="model",
)
