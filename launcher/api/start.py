"""The start of the server, and its end."""

import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from launcher.after.serve.endpoint import Endpoint, address_of, bind, is_loopback
from launcher.after.serve.web import WebServer
from launcher.api.carrier import Carrier
from launcher.api.data_dir import DataDir
from launcher.api.figures import Figures
from launcher.api.files import StoredFiles
from launcher.api.job_rows import Jobs
from launcher.api.models import Models
from launcher.api.offers import read_offers
from launcher.api.steps import Steps
from launcher.api.store import Store
from launcher.errors import Exit, RunError
from launcher.output import say, warn


class ServingApi(TypedDict):
    """A server of the fine-tuning API that accepts requests."""

    address: str
    """Base URL for clients on this machine."""
    port: int
    """The port in it."""
    models: list[str]
    """Models that can be fine-tuned."""
    tenants: int
    """Names that have a key."""
    at_once: int
    """Most jobs that are in the cluster's queue or running."""
    pid: int
    """The process to which SIGINT or SIGTERM is sent to end the server. Jobs go on without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """What is served, and where."""

    data_dir: Path
    site: Path | None
    """The operator's file of models; None: the models of the first hour."""
    endpoint: Endpoint
    at_once: int | None
    """Instead of the site's."""
    models_loaded: int
    """Trained models that are in memory at the same time for chats."""
    max_file_bytes: int


def serve_api(settings: ApiSettings, tell: Callable[[ServingApi], None]) -> int:
    """The exit code, once a signal has ended the server; `tell` is called when it accepts requests."""
    from launcher.api.app import make_app  # imported here: FastAPI
    from launcher.api.chats import Chats
    from launcher.api.routes import Services

    os.umask(0o077)
    data_dir = DataDir(settings.data_dir.absolute())
    data_dir.make()
    tempfile.tempdir = str(data_dir.incoming)  # large uploads must not fill another disk
    if not is_loopback(settings.endpoint.host):
        warn(
            f"--host {settings.endpoint.host}: other machines reach the server, and keys and data cross the network as plain "
            "text; a proxy with TLS on this machine needs no --host"
        )
    with data_dir.lock(), bind(settings.endpoint) as bound:
        store = Store(data_dir.folder)
        data_dir.remove_leftovers(store)
        offers = read_offers(settings.site, data_dir)
        at_once = settings.at_once or offers.at_once
        files, chats = StoredFiles(store, data_dir), Chats(settings.models_loaded)
        carrier = Carrier(
            store, data_dir, Steps(store, data_dir, offers), files, at_once=at_once, queued=offers.queued
        )
        services = Services(
            store=store,
            files=files,
            jobs=Jobs(store, data_dir, files),
            models=Models(store, data_dir, offers, int(time.time())),
            chats=chats,
            figures=Figures(store),
            wake=carrier.wake,
            most_bytes=settings.max_file_bytes,
        )
        port = bound.getsockname()[1]
        told: ServingApi = {
            "address": address_of(settings.endpoint, port),
            "port": port,
            "models": list(offers.models),
            "tenants": store.value("SELECT COUNT(*) FROM tenants WHERE revoked = 0"),
            "at_once": at_once,
            "pid": os.getpid(),
        }
        carrier.start()
        try:
            got = WebServer().run(
                make_app(services), bound, started=lambda: tell(told), stopping=carrier.stop
            )
        finally:
            carrier.close()
    if not got:
        raise RunError("the web server could not start, or ended by itself")
    say("the server has ended; jobs in the queue or running go on, and the next server finds them")
    return Exit.TERMINATED if signal.SIGTERM in got else Exit.INTERRUPTED
