"""python -m launcher serve [RUN]: the trained model behind an HTTP server of OpenAI's shape, here or as a job."""

import argparse
import os
from pathlib import Path

from launcher.after.chat import ChatSettings
from launcher.after.serve.endpoint import find_endpoint
from launcher.after.serve.job import (
    TIME,
    QueuedServer,
    ServerJob,
    check_in_job,
    describe_job,
    note_address,
    queue,
    reached,
    wait_until_it_serves,
)
from launcher.after.serve.start import Engine, ServeSettings, Serving, describe, serve
from launcher.after.tokens_job import parse_options
from launcher.cli.parser import add_checkpoint, add_run, add_trust, count, positive, trusted_run
from launcher.cli.verb import Verb
from launcher.errors import Exit, UsageError
from launcher.output import print_json, print_text, say
from launcher.status.serving import serving_folder

_HOST, _EVERYWHERE, _PORT = "127.0.0.1", "0.0.0.0", 8000


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_trust(parser)
    parser.add_argument(
        "--host",
        default=_HOST,
        metavar="H",
        help=f"address to listen on (default: {_HOST}, for this machine alone)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=_PORT,
        metavar="P",
        help=f"0: a free one (default: {_PORT}); with --job, the one on your own machine",
    )
    parser.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="file with the key that requests must have; without it LAUNCHER_API_KEY. A key is needed with another --host",
    )
    parser.add_argument(
        "--name", metavar="NAME", help="name of the model in requests (default: that of the run)"
    )
    parser.add_argument("--base", action="store_true", help="serve the base model")
    add_checkpoint(parser)
    parser.add_argument(
        "--engine",
        choices=[one.value for one in Engine],
        default=Engine.auto.value,
        help="vllm, or worker: the process that chat uses (default: vllm where it is installed and there is a GPU)",
    )
    parser.add_argument(
        "--gpus",
        type=positive,
        default=1,
        metavar="N",
        help="GPUs over which vLLM spreads the model (default: 1)",
    )
    parser.add_argument(
        "--max-new-tokens", type=positive, metavar="N", help="longest answer of the worker (default: 1024)"
    )
    parser.add_argument(
        "--waiting",
        type=count,
        metavar="N",
        help="requests that may wait for the worker (default: 16); more get 429",
    )
    parser.add_argument(
        "--job",
        action="store_true",
        help="queue it as a job with the run's cluster settings, wait until it serves, and print the tunnel to it",
    )
    parser.add_argument("--time", default=TIME, metavar="T", help=f"time limit of that job (default: {TIME})")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE",
        help="an option of the scheduler for that job, by its long name, such as partition=gpu; may be repeated",
    )  # fmt: skip
    parser.add_argument("--for-job", metavar="CLUSTER", help=argparse.SUPPRESS)  # its script gives it


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    if options.gpus > 1 and options.engine != Engine.vllm.value:
        raise UsageError(
            f"--gpus {options.gpus}: only vLLM spreads a model over several GPUs; add --engine vllm"
        )
    if options.job:
        return _queue(options)
    if options.option or options.time != TIME:
        raise UsageError("--time and --option are for a queued job; give --job too")
    if options.for_job:
        check_in_job(options.for_job)
    host, port = (_EVERYWHERE, 0) if options.for_job else (options.host, options.port)
    endpoint = find_endpoint(host, port, options.api_key_file, os.environ)
    settings = ServeSettings(
        base=options.base,
        checkpoint=options.checkpoint,
        trust_run=options.trust_run,
        name=options.name,
        engine=Engine(options.engine),
        gpus=options.gpus,
        max_new_tokens=options.max_new_tokens,
        waiting=options.waiting,
        endpoint=endpoint,
    )

    def tell(told: Serving) -> None:
        if options.for_job:
            note_address(
                serving_folder(trusted_run(options)).path, options.for_job, told["port"], told["model"]
            )
        print_json(told) if options.json else print_text(describe(told, endpoint), flush=True)

    return serve(options.runs_dir.absolute(), options.run, settings, tell)


def _queue(options: argparse.Namespace) -> int:
    """The exit code, once the queued server accepts requests."""
    if options.host != _HOST:
        raise UsageError(f"--host {options.host}: the server of a job listens on its node; leave it out")
    endpoint = find_endpoint(_EVERYWHERE, options.port, options.api_key_file, os.environ)
    run = trusted_run(options)
    settings = ChatSettings(
        base=options.base,
        checkpoint=options.checkpoint,
        max_new_tokens=1,
        temperature=0,
        trust_run=options.trust_run,
    )
    # a missing model is refused before the queue
    settings.model(options.runs_dir.absolute(), str(run.path))
    wanted = ServerJob(
        words=_for_node(options), gpus=options.gpus, time=options.time, given=parse_options(options.option)
    )
    job = queue(run, wanted)
    try:
        address = wait_until_it_serves(run, job)
    except KeyboardInterrupt:
        say(
            f"job {job.job_id} stays; the same command waits for it again, and python -m launcher cancel {run.name} --server "
            "ends it"
        )
        raise
    found = reached(job, address, endpoint.port or _PORT)
    print_json(found) if options.json else print_text(describe_job(found, run), flush=True)
    return Exit.OK


def _for_node(options: argparse.Namespace) -> list[str]:
    """The options for the server on the node."""
    values = {
        "--api-key-file": options.api_key_file and options.api_key_file.absolute(),
        "--name": options.name,
        "--checkpoint": options.checkpoint,
        "--engine": options.engine,
        "--gpus": options.gpus,
        "--max-new-tokens": options.max_new_tokens,
        "--waiting": options.waiting,
    }
    words = [word for name, value in values.items() if value is not None for word in (name, str(value))]
    return [*words, *(["--base"] if options.base else []), *(["--trust-run"] if options.trust_run else [])]


VERB = Verb(
    line="serve the trained model over HTTP, in the shape of OpenAI's API",
    about="POST /v1/chat/completions, GET /v1/models and GET /health, on this machine alone unless --host says otherwise. "
    "RUN can be a folder that `export` wrote. Ctrl-C ends it.",
    example="serve llama8b_lora\nserve ~/models/mine --port 8080 --name mine\nserve llama8b_lora --job --option partition=gpu",
    add=_add,
    run=_run,
    prints={"": Serving, "with --job": QueuedServer},
    group="model",
    terminal=True,
)
