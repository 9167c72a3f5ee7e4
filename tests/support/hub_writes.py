"""A model hub as of tests/support/hub that takes pushes: tokens and their owners, new repositories, large files, commits.

Source: the requests that huggingface_hub sends (HfApi.whoami, create_repo, preupload_lfs_files, create_commit), and the batch
API of Git LFS. Files whose names end with one of LARGE go to the large storage.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.support.hub import Hub

LARGE = (".safetensors", "tokenizer.json", ".gguf")
TOKEN = "hf_of_a_test_only"


class WritableHub(Hub):
    """Repositories below a folder, written by the tokens in `users`."""

    def __init__(self, folder: Path) -> None:
        super().__init__({})
        self.folder = folder
        self.users: dict[str, dict[str, Any]] = {
            TOKEN: {"name": "me", "orgs": [{"name": "lab"}], "auth": {"accessToken": {"role": "write"}}},
            "hf_of_a_reader": {"name": "me", "orgs": [], "auth": {"accessToken": {"role": "read"}}},
        }
        self.private: dict[str, bool] = {}
        self.commits: dict[str, list[str]] = {}
        self.storage: dict[str, bytes] = {}
        self.sent: list[str] = []
        """Digests of the large files that arrived, in their order."""
        self.forbidden = False
        """Whether a write is refused, as to a token whose permissions do not include the repository."""
        self.fails_after: int | None = None
        """Large files after which the next ones are refused, as by a hub that is overloaded."""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One request."""
        path = unquote(urlsplit(request.path).path)
        self.requests.append(f"{request.command} {path}")
        body = self.read(request)
        if path.startswith("/storage/"):
            return self.store(request, path.removeprefix("/storage/"), body)
        token = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        user = self.users.get(token)
        if user is None:
            return self.refuse(request, 401, "", "Invalid username or password.")
        if path == "/api/whoami-v2":
            return self.say(request, user)
        if path == "/api/validate-yaml":
            return self.say(request, {"errors": [], "warnings": []})
        if self.forbidden and request.command == "POST":
            return self.refuse(request, 403, "", "Forbidden: you must use a write token")
        if path == "/api/repos/create":
            return self.create(request, json.loads(body))
        if found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self.batch(request, json.loads(body)["objects"])
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path):
            if found[1] not in self.commits:
                return self.refuse(request, 404, "RepoNotFound", "Repository not found")
            act = self.preupload if found[2] == "preupload" else self.commit
            return act(request, found[1], body)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/main)?", path):
            return self.describe(request, found[1])
        return self.refuse(request, 404, "RepoNotFound", "Repository not found")

    @staticmethod
    def read(request: BaseHTTPRequestHandler) -> bytes:
        if request.headers.get("Transfer-Encoding") != "chunked":
            return request.rfile.read(int(request.headers.get("Content-Length") or 0))
        body = b""
        while size := int(request.rfile.readline().strip() or b"0", 16):
            body += request.rfile.read(size)
            request.rfile.readline()
        request.rfile.readline()
        return body

    def say(self, request: BaseHTTPRequestHandler, value: Any) -> None:
        self.send(request, json.dumps(value).encode())

    def make(self, name: str, *, private: bool, files: dict[str, str] | None = None) -> None:
        """A repository with these files."""
        self.private[name], self.commits[name] = private, [hashlib.sha1(name.encode()).hexdigest()]
        (self.folder / name).mkdir(parents=True)
        for file, text in {".gitattributes": "*.safetensors filter=lfs", **(files or {})}.items():
            (self.folder / name / file).write_text(text)

    def create(self, request: BaseHTTPRequestHandler, wanted: dict[str, Any]) -> None:
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        if name in self.commits:
            return self.refuse(request, 409, "", "You already created this model repo")
        private = wanted.get("private", wanted.get("visibility") == "private")
        self.make(name, private=bool(private))
        return self.say(request, {"url": f"{self.endpoint}/{name}"})

    def preupload(self, request: BaseHTTPRequestHandler, name: str, body: bytes) -> None:
        files = [
            {"path": one["path"], "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular", "shouldIgnore": False}
            for one in json.loads(body)["files"]
        ]  # fmt: skip
        self.say(request, {"files": files})

    def batch(self, request: BaseHTTPRequestHandler, objects: list[dict[str, Any]]) -> None:
        if self.fails_after is not None and len(self.sent) >= self.fails_after:
            return self.refuse(request, 400, "", "The storage is full")
        answers = [
            {**one, "actions": {"upload": {"href": f"{self.endpoint}/storage/{one['oid']}"}}}
            if one["oid"] not in self.storage
            else one
            for one in objects
        ]
        return self.say(request, {"transfer": "basic", "objects": answers})

    def store(self, request: BaseHTTPRequestHandler, oid: str, body: bytes) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.storage[oid] = body
        self.sent.append(oid)
        self.send(request, b"")

    def commit(self, request: BaseHTTPRequestHandler, name: str, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit") not in (None, self.commits[name][-1]):
            return self.refuse(request, 412, "", "The expected parent commit is another one")
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                (self.folder / name / value["path"]).write_bytes(base64.b64decode(value["content"]))
            if line["key"] == "lfsFile":
                (self.folder / name / value["path"]).write_bytes(self.storage[value["oid"]])
        oid = hashlib.sha1(body).hexdigest()
        self.commits[name].append(oid)
        return self.say(request, {"commitUrl": f"{self.endpoint}/{name}/commit/{oid}", "commitOid": oid})

    def describe(self, request: BaseHTTPRequestHandler, name: str) -> None:
        if name not in self.commits:
            return self.refuse(request, 404, "RepoNotFound", "Repository not found")
        siblings = [self.sibling(file) for file in sorted((self.folder / name).iterdir())]
        return self.say(
            request,
            {"id": name, "sha": self.commits[name][-1], "private": self.private[name], "gated": False, "tags": [],
             "downloads": 0, "likes": 0, "siblings": siblings},
        )  # fmt: skip

    @staticmethod
    def sibling(file: Path) -> dict[str, Any]:
        content = file.read_bytes()
        known: dict[str, Any] = {
            "rfilename": file.name, "size": len(content),
            "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
        }  # fmt: skip
        if file.name.endswith(LARGE):
            known["lfs"] = {
                "sha256": hashlib.sha256(content).hexdigest(),
                "size": len(content),
                "pointerSize": 130,
            }
        return known

    def files(self, name: str) -> dict[str, bytes]:
        """The files of a repository, without the hub's own."""
        return {
            file.name: file.read_bytes()
            for file in (self.folder / name).iterdir()
            if file.name != ".gitattributes"
        }


@contextmanager
def serve_writable(folder: Path) -> Iterator[WritableHub]:
    """A hub that takes pushes until the block ends."""
    hub = WritableHub(folder)
    threading.Thread(target=hub.server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.close()
