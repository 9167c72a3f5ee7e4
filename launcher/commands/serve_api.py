"""python -m launcher serve-api --data-dir D: fine-tuning of OpenAI's shape on one's own cluster."""

import argparse
from pathlib import Path

from launcher.after.serve.endpoint import Endpoint
from launcher.after.serve.start import check_packages
from launcher.api.start import ApiSettings, ServingApi, serve_api
from launcher.cli.parser import positive
from launcher.cli.verb import Verb
from launcher.errors import UsageError
from launcher.output import align, print_json, print_text

_MIB = 1 << 20


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", type=Path, required=True, metavar="D",
        help="folder of the server: database, files and runs; on a cluster it is on a shared file system",
    )  # fmt: skip
    parser.add_argument(
        "--site",
        type=Path,
        metavar="FILE",
        help="models to offer, and the keys of their runs (default: tiny, smollm2-135m)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="H",
        help="address to listen on (default: 127.0.0.1, for this machine alone); the connection is not encrypted",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=8000, metavar="P", help="0: a free one (default: 8000)")
    parser.add_argument(
        "--at-once",
        type=positive,
        metavar="N",
        help="most jobs queued or running in the cluster (default: 64; here 1)",
    )
    parser.add_argument(
        "--models-loaded",
        type=positive,
        default=1,
        metavar="N",
        help="trained models in memory for chats (default: 1)",
    )
    parser.add_argument(
        "--max-file-mib",
        type=positive,
        default=512,
        metavar="N",
        help="MiB of the largest upload (default: 512)",
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    check_packages("serve-api")
    if not 0 <= options.port <= 65535:
        raise UsageError(f"--port {options.port} must be from 0 (any free port) to 65535")
    settings = ApiSettings(
        data_dir=options.data_dir,
        site=options.site,
        endpoint=Endpoint(host=options.host, port=options.port, key=None, key_file=None),
        at_once=options.at_once,
        models_loaded=options.models_loaded,
        max_file_bytes=options.max_file_mib * _MIB,
    )

    def tell(told: ServingApi) -> None:
        if options.json:
            print_json(told)
            return
        lines = [
            ("serving", f"{told['address']}; Ctrl-C ends it, and jobs go on"),
            ("models", ", ".join(told["models"])),
            ("jobs", f"at most {told['at_once']} in the cluster at once"),
            (
                "keys",
                f"{told['tenants']}; python -m launcher api-keys add NAME --data-dir {options.data_dir}",
            ),
        ]
        print_text(align(lines), flush=True)

    return serve_api(settings, tell)


VERB = Verb(
    line="serve fine-tuning of OpenAI's shape: files, jobs on this cluster, chat with their models",
    about="Every request needs a key of `api-keys add`. It listens on this machine alone unless --host says otherwise; TLS is "
    "the work of a reverse proxy (docs/howto/serve_api.md).",
    example="serve-api --data-dir ~/api\nserve-api --data-dir /shared/api --site site.yaml --port 8080",
    add=_add,
    run=_run,
    prints=ServingApi,
    group="model",
    runs_dir=False,
    terminal=True,
)
