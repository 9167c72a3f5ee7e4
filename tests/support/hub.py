"""A model hub on 127.0.0.1 that speaks as much of the real one's protocol as its library needs, and notes what it is asked.

Source: the paths and headers that huggingface_hub and datasets send (HfApi, hf_hub_download, hf_hub_url).
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

COMMIT = hashlib.sha1(b"the only commit").hexdigest()


def commit_of(revision: str | None) -> str:
    """The commit that a revision names."""
    return COMMIT if revision in (None, "main") else revision


class Hub:
    """Serves folders as repositories: (kind, name) -> folder."""

    def __init__(
        self,
        repositories: dict[tuple[str, str], Path],
        gated: tuple[str, ...] = (),
        revisions: tuple[str, ...] = (),
    ) -> None:
        """`revisions`: commits that every repository has beside the only one, with the same content."""
        self.repositories, self.gated = repositories, gated
        self.revisions = (None, "main", COMMIT, *revisions)
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_POST = do_PUT = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One request."""
        path = unquote(urlsplit(request.path).path)
        if path != "/api/agent-harnesses":  # the library asks for it by itself, once a day
            self.requests.append(f"{request.command} {path}")
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        api = re.fullmatch(
            r"/api/(model|dataset)s/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(/.*)?)?", path
        )
        file = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if api:
            kind, name, what, revision, under = api.groups()
        elif file:
            kind, name, what, revision, under = (
                "dataset" if file[1] else "model",
                file[2],
                "resolve",
                file[3],
                file[4],
            )
        else:
            return self.refuse(request, 404, "RepoNotFound", "Repository not found")
        folder = self.repositories.get((kind, name))
        if folder is None:
            return self.refuse(request, 401, "RepoNotFound", "Repository Not Found")
        if name in self.gated and what == "resolve":
            return self.refuse(request, 403, "GatedRepo", "Access to it is restricted")
        if revision not in self.revisions:
            return self.refuse(request, 404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        if what == "resolve":
            if under not in files:
                return self.refuse(request, 404, "EntryNotFound", "Entry not found")
            content = (folder / under).read_bytes()
            return self.send(request, content, "application/octet-stream", commit_of(revision))
        if what in ("tree", "paths-info"):
            asked = json.loads(body)["paths"] if body.startswith(b"{") else None
            prefix = (under or "").strip("/")
            entries = [self.entry(folder, name) for name in files if name.startswith(prefix)]
            if asked is not None:
                entries = [entry for entry in entries if entry["path"] in asked]
            return self.send(request, json.dumps(entries).encode())
        sha = commit_of(revision)
        known = {"id": name, "sha": sha, "private": False, "gated": False, "tags": [], "downloads": 0, "likes": 0,
                 "siblings": [{"rfilename": name} for name in files]}  # fmt: skip
        if "README.md" in files and (
            card := re.match(r"---\n(.*?)\n---", (folder / "README.md").read_text(), re.DOTALL)
        ):
            known["cardData"] = yaml.safe_load(card[1])
        return self.send(request, json.dumps(known).encode())

    @staticmethod
    def entry(folder: Path, name: str) -> dict[str, Any]:
        content = (folder / name).read_bytes()
        return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    @staticmethod
    def send(
        request: BaseHTTPRequestHandler, content: bytes, kind: str = "application/json", commit: str = COMMIT
    ) -> None:
        begin = 0
        if found := re.fullmatch(r"bytes=(\d+)-.*", request.headers.get("Range") or ""):
            begin = int(found[1])
        request.send_response(206 if begin else 200)
        if begin:
            request.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content) - begin))
        request.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        request.send_header("X-Repo-Commit", commit)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content[begin:])

    @staticmethod
    def refuse(request: BaseHTTPRequestHandler, status: int, code: str, message: str) -> None:
        request.send_response(status)
        request.send_header("X-Error-Code", code)
        request.send_header("X-Error-Message", message)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def close(self) -> None:
        """From now on nobody answers at its port."""
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def serve(
    repositories: dict[tuple[str, str], Path], gated: tuple[str, ...] = (), revisions: tuple[str, ...] = ()
) -> Iterator[Hub]:
    """A hub that answers until the block ends, or until it is closed."""
    hub = Hub(repositories, gated, revisions)
    thread = threading.Thread(target=hub.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.close()
