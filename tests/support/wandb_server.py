"""As much of a Weights & Biases server as wandb's own uploads ask for, and one that accepts and never answers."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAMED = "x"
"""What the server calls every run; wandb uses that name in what it asks next."""
_BUCKET = {
    "id": "b",
    "name": NAMED,
    "displayName": "x",
    "historyLineCount": 0,
    "project": {"name": "p", "entity": {"name": "me"}},
}
_ANSWER = {
    "viewer": {"id": "1", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}},
    "serverInfo": {
        "cliVersionInfo": {"max_cli_version": "9.0.0", "min_cli_version": "0.1.0"},
        "features": [],
    },
    "upsertBucket": {"bucket": _BUCKET, "inserted": True},
    "createRunFiles": {"runID": NAMED, "uploadHeaders": [], "files": []},
}


class Asked(list[tuple[str, str, Any]]):
    """(path, Authorization, JSON body) of every request."""

    def variables(self, operation: str) -> list[dict[str, Any]]:
        return [
            body["variables"]
            for _, _, body in self
            if isinstance(body, dict) and body.get("operationName") == operation
        ]


@contextlib.contextmanager
def wandb_server() -> Iterator[tuple[str, Asked]]:
    """Its address, and what it was asked."""
    asked = Asked()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with contextlib.suppress(ValueError):
                asked.append((self.path, self.headers.get("Authorization", ""), json.loads(body or b"{}")))
            text = json.dumps({"data": _ANSWER} if self.path.startswith("/graphql") else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = _answer

        def log_message(self, *arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """The address of a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
