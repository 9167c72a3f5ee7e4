"""python -m launcher managed create FILE --model M: upload, show the price, and start a job."""

import argparse
import sys
from pathlib import Path

from launcher.cli.parser import auto_or_number, auto_or_whole, count, seconds
from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.managed.api import Api
from launcher.managed.create import Wish, create, estimate, upload
from launcher.managed.job import (
    ManagedCreated,
    ManagedJob,
    estimate_lines,
    has_failed,
    job_dict,
    job_lines,
    print_job,
    wait_for,
)
from launcher.managed.methods import METHODS
from launcher.managed.records import Records
from launcher.managed.rows import prepare
from launcher.output import align, print_json, print_text


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="training rows, in any format that data check reads"
    )
    parser.add_argument("--method", choices=METHODS, default="supervised", help="dpo needs preference pairs")
    parser.add_argument("--model", required=True, metavar="M", help="the model to fine-tune")
    parser.add_argument("--eval", type=Path, metavar="F", help="evaluation rows")
    parser.add_argument(
        "--suffix", metavar="TEXT", help="part of the new model's name, at most 64 characters"
    )
    parser.add_argument(
        "--epochs",
        type=auto_or_whole,
        default="auto",
        metavar="N",
        help="passes over the data, or auto (default: auto)",
    )
    parser.add_argument(
        "--batch-size",
        type=auto_or_whole,
        default="auto",
        metavar="N",
        help="rows per step, or auto (default: auto)",
    )
    parser.add_argument(
        "--learning-rate-multiplier",
        type=auto_or_number,
        default="auto",
        metavar="X",
        help="factor for the provider's learning rate, or auto (default: auto)",
    )
    parser.add_argument(
        "--beta", type=auto_or_number, default="auto", metavar="X", help="beta of --method dpo"
    )
    parser.add_argument(
        "--seed", type=count, metavar="N", help="random seed of the job (default: chosen by the provider)"
    )
    parser.add_argument(
        "--price-per-million",
        type=float,
        metavar="P",
        help="price of a million trained tokens, in your currency",
    )
    parser.add_argument(
        "--again", action="store_true", help="create another job, even if the same one was requested before"
    )
    parser.add_argument("--poll", action="store_true", help="wait for its end")
    parser.add_argument(
        "--every-s", type=seconds, default=2.0, metavar="S", help="first wait of --poll (default: 2)"
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code; 3 if --poll has seen the job fail or be cancelled."""
    wish = Wish(
        model=options.model, method=options.method, suffix=options.suffix, epochs=options.epochs, beta=options.beta,
        batch_size=options.batch_size, learning_rate_multiplier=options.learning_rate_multiplier, seed=options.seed,
    )  # fmt: skip
    api, records = Api(), Records(options.runs_dir.absolute())
    prepared = prepare(options.file, records.data, options.method)
    held_out = prepare(options.eval, records.data, options.method, least=1) if options.eval else None
    about = estimate(prepared, options.epochs, options.price_per_million)
    out = sys.stderr if options.json else sys.stdout
    print_text(align(estimate_lines(about)), file=out, flush=True)
    training = upload(api, records, options.file, prepared)["file"]
    validation = upload(api, records, options.eval, held_out)["file"] if held_out else None
    contents = {
        "training_file": prepared.sha256,
        **({"validation_file": held_out.sha256} if held_out else {}),
    }
    job, known = create(
        api, records, wish.request(training, validation), contents, about, again=options.again
    )
    if options.poll:
        job = wait_for(api, records, str(job["id"]), options.every_s, quiet=options.json)
        print_job(job, as_json=options.json)
        return Exit.FAILED if has_failed(job) else Exit.OK
    note = [("note", "the same job was requested before; --again creates another")] if known else []
    result: ManagedCreated = {**job_dict(job), "estimate": about, "existing": known}
    print_json(result) if options.json else print_text(align([*job_lines(job), *note]), flush=True)
    return Exit.OK


VERB = Verb(
    line="upload, show the price, and start a job; the same command starts no second job",
    example="managed create train.jsonl --model gpt-4.1-mini-2025-04-14 --epochs 3 --price-per-million 5 --poll",
    add=_add,
    run=_run,
    prints={"": ManagedCreated, "with --poll": ManagedJob},
)
