"""python -m launcher serve [RUN]: the trained model behind an HTTP server of OpenAI's shape."""

import argparse
import os
from pathlib import Path

from launcher.after.serve.endpoint import find_endpoint
from launcher.after.serve.start import Engine, ServeSettings, Serving, describe, serve
from launcher.cli.parser import add_checkpoint, add_run, add_trust, positive
from launcher.cli.verb import Verb
from launcher.errors import UsageError
from launcher.output import print_json, print_text

_HOST, _PORT = "127.0.0.1", 8000


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
        "--port", type=int, default=_PORT, metavar="P", help=f"0: a free one (default: {_PORT})"
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
        type=_count,
        metavar="N",
        help="requests that may wait for the worker (default: 16); more get 429",
    )


def _count(text: str) -> int:
    """A whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    if options.gpus > 1 and options.engine != Engine.vllm.value:
        raise UsageError(
            f"--gpus {options.gpus}: only vLLM spreads a model over several GPUs; add --engine vllm"
        )
    endpoint = find_endpoint(options.host, options.port, options.api_key_file, os.environ)
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
        print_json(told) if options.json else print_text(describe(told, endpoint), flush=True)

    return serve(options.runs_dir.absolute(), options.run, settings, tell)


VERB = Verb(
    line="serve the trained model over HTTP, in the shape of OpenAI's API",
    about="POST /v1/chat/completions, GET /v1/models and GET /health, on this machine alone unless --host says otherwise. "
    "RUN can be a folder that `export` wrote. Ctrl-C ends it.",
    example="serve llama8b_lora\nserve ~/models/mine --port 8080 --name mine",
    add=_add,
    run=_run,
    prints=Serving,
    group="model",
    terminal=True,
)
