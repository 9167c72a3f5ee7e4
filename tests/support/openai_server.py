"""A small server of OpenAI's shape on this machine: files, fine-tuning jobs, their events, and faults on demand."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-neverwrittendown-0123456789"
STEPS = ("validating_files", "queued", "running", "running", "succeeded")


class Provider:
    """What it holds, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.uploads = 0
        self.jobs: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        """What came with each request of `asked`."""
        self.busy = 0
        """Requests to come that are answered with 429."""
        self.broken_files = False
        """Whether no file can be looked up."""
        self.drop_create = False
        """Whether the next job is created and its answer lost."""
        self.ends = "succeeded"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        path = path.partition("?")[0]
        if method == "POST" and path == "/v1/files":
            data = body.split(b"application/jsonl\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
            self.uploads += 1
            number = f"file-{self.uploads}"
            self.files[number] = data
            return 200, {
                "id": number,
                "object": "file",
                "bytes": len(data),
                "purpose": "fine-tune",
                "status": "processed",
            }
        if found := re.fullmatch(r"/v1/files/([\w-]+)", path):
            if self.broken_files:
                return 403, _error("Your project has no access to files")
            known = found[1] in self.files
            return (
                (200, {"id": found[1], "status": "processed"})
                if known
                else (404, _error("No such File object"))
            )
        if path == "/v1/fine_tuning/jobs" and method == "POST":
            return self._create(json.loads(body))
        if path == "/v1/fine_tuning/jobs":
            return 200, {"object": "list", "data": list(reversed(self.jobs)), "has_more": False}
        found = re.fullmatch(r"/v1/fine_tuning/jobs/([\w-]+)(/events|/cancel)?", path)
        job = next((one for one in self.jobs if found and one["id"] == found[1]), None)
        if found is None or job is None:
            return 404, _error(f"Could not find fine tune: {path.rpartition('/')[2]}")
        if found[2] == "/cancel":
            job["status"] = "cancelled"
        elif found[2] == "/events":
            return 200, {"object": "list", "data": list(reversed(job["events"])), "has_more": False}
        else:
            self._go_on(job)
        return 200, {name: value for name, value in job.items() if name != "events"}

    def _create(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if asked["training_file"] not in self.files:
            return 400, _error(f"invalid training_file: {asked['training_file']}")
        job = {
            **asked, "id": f"ftjob-{len(self.jobs) + 1}", "object": "fine_tuning.job", "created_at": int(time.time()),
            "status": "validating_files", "fine_tuned_model": None, "trained_tokens": None, "error": None, "events": [],
        }  # fmt: skip
        self.jobs.append(job)
        if self.drop_create:
            self.drop_create = False
            raise ConnectionAbortedError
        return 200, {name: value for name, value in job.items() if name != "events"}

    def _go_on(self, job: dict[str, Any]) -> None:
        """One step further each time that somebody looks."""
        if job["status"] in ("succeeded", "failed", "cancelled"):
            return
        number = len(job["events"]) + 1
        job["status"] = STEPS[min(number, len(STEPS) - 1)]
        if job["status"] == "succeeded":
            job["status"] = self.ends
        if job["status"] == "succeeded":
            job |= {
                "fine_tuned_model": f"ft:{job['model']}:me:{job.get('suffix', '')}:1",
                "trained_tokens": 1234,
            }
        if job["status"] == "failed":
            job["error"] = {
                "code": "invalid_training_file",
                "message": "The file\nis no good",
                "param": "training_file",
            }
        job["events"].append(
            {
                "id": f"ftevent-{number}",
                "level": "info",
                "message": f"now {job['status']}",
                "created_at": number,
            }
        )


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


@contextlib.contextmanager
def openai_server() -> Iterator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            provider.asked.append((self.command, self.path))
            provider.bodies.append(body)
            code, value = 401, _error(f"Incorrect API key provided: {self.headers.get('Authorization', '')}")
            if provider.busy:
                provider.busy -= 1
                code, value = 429, _error("Rate limit reached")
            elif self.headers.get("Authorization") == f"Bearer {KEY}":
                try:
                    code, value = provider.answer(self.command, self.path, body)
                except ConnectionAbortedError:
                    self.connection.close()
                    return
            text = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            if code == 429:
                self.send_header("Retry-After", "0.1")
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = _answer

        def log_message(self, *arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    provider.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    yield provider
    server.shutdown()
