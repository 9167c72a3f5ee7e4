"""The start of a server: which engine answers, what is said about it, and its end."""

import dataclasses
import importlib.util
import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import NoReturn, TypedDict

from launcher import environment
from launcher.after.chat import ChatSettings, wait_until_ready
from launcher.after.serve import vllm
from launcher.after.serve.endpoint import Endpoint, address_of, bind
from launcher.after.serve.web import WebServer
from launcher.after.worker import ModelProcess, WorkFailed, worker
from launcher.clusters.registry import has_gpu
from launcher.errors import Exit, PackageError, RunError, UsageError
from launcher.output import align, say
from launcher.protocol.work.requests import ModelChoice, ServeModel
from launcher.run import RunDir

_LONGEST, _WAITING = 1024, 16
_HELLO = [{"role": "user", "content": "Hello"}]


class Engine(Enum):
    """What computes the answers."""

    auto = "auto"
    vllm = "vllm"
    worker = "worker"


class Serving(TypedDict):
    """A server that accepts requests."""

    address: str
    """Base URL for clients on this machine."""
    port: int
    """The port in it."""
    model: str
    """The name that a request gives as `model`."""
    engine: str
    """worker (this project's own process with transformers) or vllm."""
    device: str
    """cuda or cpu; for vllm empty."""
    pid: int
    """The process to which SIGINT or SIGTERM is sent to end the server."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """What is served, and how."""

    base: bool
    checkpoint: str | None
    trust_run: bool
    name: str | None
    """The name of the model in requests; None: that of the run or of the folder."""
    engine: Engine
    gpus: int
    """GPUs over which vLLM spreads the model."""
    max_new_tokens: int | None
    """Most tokens of an answer of the worker; None: 1024."""
    waiting: int | None
    """Requests that may wait for the worker; None: 16."""
    endpoint: Endpoint


def check_packages(verb: str) -> None:
    """Raises PackageError if the web server that the verb needs is not installed."""
    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise PackageError(
            f"{verb} needs {' and '.join(missing)}, which this Python does not have; pip install 'launcher[serve]', or pip "
            f"install {' '.join(missing)}"
        )


def serve(
    runs_dir: Path, reference: str | None, settings: ServeSettings, tell: Callable[[Serving], None]
) -> int:
    """The exit code, once a signal has ended the server; `tell` is called when it accepts requests.

    PackageError, UsageError, ConfigError or RunError for what cannot be served; WorkFailed if the process with the model ends.
    """
    longest = settings.max_new_tokens or _LONGEST
    chat = ChatSettings(
        base=settings.base, checkpoint=settings.checkpoint, max_new_tokens=longest, temperature=1.0,
        trust_run=settings.trust_run,
    )  # fmt: skip
    model = chat.model(runs_dir, reference)
    run = RunDir(Path(model.run_dir)) if model.run_dir else None
    folder = run.export if run else Path(model.folder or "")
    name = settings.name or (run.name if run else folder.name)
    if _with_vllm(settings, model, folder, run):
        _become_vllm(settings, folder, run, name, tell)
    check_packages("serve")
    with bind(settings.endpoint) as bound, worker(ServeModel(model=model, max_new_tokens=longest)) as work:
        device = wait_until_ready(work)
        port = bound.getsockname()[1]
        told: Serving = {
            "address": address_of(settings.endpoint, port), "port": port, "model": name, "engine": Engine.worker.value,
            "device": device, "pid": os.getpid(),
        }  # fmt: skip
        return _run(work, bound, settings, told, tell)


def _with_vllm(settings: ServeSettings, model: ModelChoice, folder: Path, run: RunDir | None) -> bool:
    """Whether vLLM serves; a reason against it is an error if vLLM was asked for, and otherwise said."""
    if settings.engine is Engine.worker or (
        settings.engine is Engine.auto and not (vllm.program() and has_gpu())
    ):
        return False
    try:
        vllm.check_program()
        if model.checkpoint or model.base:
            raise RunError(
                "vLLM cannot serve a checkpoint or the base of a run; use --engine worker, or export it first"
            )
        if settings.max_new_tokens or settings.waiting is not None:
            raise UsageError(
                "--max-new-tokens and --waiting are for --engine worker; leave them out for vLLM"
            )
        vllm.vllm_model(folder, run)
    except (RunError, UsageError) as error:
        if settings.engine is Engine.vllm:
            raise
        say(f"vLLM is not used: {error}")
        return False
    return True


def _become_vllm(
    settings: ServeSettings, folder: Path, run: RunDir | None, name: str, tell: Callable[[Serving], None]
) -> NoReturn:
    """Replaces this process by vLLM's server."""
    endpoint = settings.endpoint
    with bind(endpoint) as bound:  # a taken port is refused here, and 0 becomes a free one
        port = bound.getsockname()[1]
    endpoint = dataclasses.replace(endpoint, port=port)
    words = vllm.command(vllm.check_program(), vllm.vllm_model(folder, run), name, endpoint, settings.gpus)
    tell(
        {
            "address": address_of(endpoint, port),
            "port": port,
            "model": name,
            "engine": Engine.vllm.value,
            "device": "",
            "pid": os.getpid(),
        }
    )
    say(f"vLLM loads the model, and answers when it is ready: {shlex.join(words)}")
    sys.stdout.flush()
    os.execve(
        words[0], words, {**os.environ, **({environment.VLLM_API_KEY: endpoint.key} if endpoint.key else {})}
    )


def _run(
    work: ModelProcess,
    bound: socket.socket,
    settings: ServeSettings,
    told: Serving,
    tell: Callable[[Serving], None],
) -> int:
    """The exit code of the server, which answers until a signal comes or the process with the model ends."""
    from launcher.after.serve.app import Served, make_app
    from launcher.after.serve.request_queue import RequestQueue

    requests = RequestQueue(work, _WAITING if settings.waiting is None else settings.waiting)
    served = Served(
        model=told["model"], longest=settings.max_new_tokens or _LONGEST, key=settings.endpoint.key,
        hosts=settings.endpoint.hosts, say=say,
    )  # fmt: skip
    web = WebServer()
    try:
        got = web.run(
            make_app(requests, served, web.end),
            bound,
            started=lambda: tell(told),
            stopping=lambda: requests.close_from_outside("the server is ending"),
        )
    finally:
        work.end()
        requests.join()
    if not got:
        raise requests.failure or WorkFailed(
            "the web server could not start, or ended by itself; the lines above say why", Exit.FAILED
        )
    say(f"the server has ended; requests answered: {requests.answered}")
    return Exit.TERMINATED if signal.SIGTERM in got else Exit.INTERRUPTED


def describe(told: Serving, endpoint: Endpoint) -> str:
    """The server as text: its address, and how it is asked by curl and by OpenAI's library for Python."""
    key = endpoint.key_words
    header = f' -H "Authorization: Bearer {key}"' if key else ""
    body = json.dumps({"model": told["model"], "messages": _HELLO})
    url = told["address"]
    secret = (
        f'os.environ["{environment.API_KEY}"]'
        if key and not endpoint.key_file
        else '"KEY"'
        if key
        else '"none"'
    )
    python = (
        f"OpenAI(base_url={json.dumps(url)}, api_key={secret}).chat.completions.create(model={json.dumps(told['model'])}, "
        f"messages={json.dumps(_HELLO)})"
    )
    where = f" on {told['device']}" if told["device"] else ""
    return align(
        [
            ("serving", f"{told['model']} at {url}, by {told['engine']}{where}; Ctrl-C ends it"),
            (
                "curl",
                f"curl {url}/chat/completions -H 'Content-Type: application/json'{header} -d {shlex.quote(body)}",
            ),
            ("openai", python),
        ]
    )
