"""Two tenants attack each other: whatever one tries, the other's files, jobs and models look as if they did not exist."""

import json
import sqlite3
import tarfile
from typing import Any

import pytest

from tests.support.api_server import CHATS, wait_until

NOBODYS_FILE, NOBODYS_JOB = "file-" + "0" * 24, "ftjob-" + "0" * 24


@pytest.fixture(scope="module")
def victim(api) -> dict[str, str]:
    """A file, a job in the queue, and a file that has failed a job, all of one tenant."""
    client = api.client()
    file = client.files.create(file=("secret-name.jsonl", CHATS), purpose="fine-tune").id
    job = client.fine_tuning.jobs.create(
        model="tiny", training_file=file, suffix="secret-suffix", metadata={"k": "secret-value"}
    ).id
    wait_until(lambda: list((api.server.data / "runs" / job).glob("*/job.json")))
    return {"file": file, "job": job}


ATTACKS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("read a file's document", "GET", "/files/{file}", {}),
    ("read a file's content", "GET", "/files/{file}/content", {}),
    ("read a part of it", "GET", "/files/{file}/content", {"headers": {"Range": "bytes=0-9"}}),
    ("delete a file", "DELETE", "/files/{file}", {}),
    ("list files after it", "GET", "/files?after={file}", {}),
    ("list files after it, oldest first", "GET", "/files?after={file}&order=asc", {}),
    ("read a job", "GET", "/fine_tuning/jobs/{job}", {}),
    ("cancel a job", "POST", "/fine_tuning/jobs/{job}/cancel", {}),
    ("pause a job", "POST", "/fine_tuning/jobs/{job}/pause", {}),
    ("resume a job", "POST", "/fine_tuning/jobs/{job}/resume", {}),
    ("read its events", "GET", "/fine_tuning/jobs/{job}/events", {}),
    ("read its checkpoints", "GET", "/fine_tuning/jobs/{job}/checkpoints", {}),
    ("list jobs after it", "GET", "/fine_tuning/jobs?after={job}", {}),
    ("train on the other's file", "POST", "/fine_tuning/jobs", {"json": {"model": "tiny", "training_file": "{file}"}}),
    ("validate on it", "POST", "/fine_tuning/jobs",
     {"json": {"model": "tiny", "training_file": "{own}", "validation_file": "{file}"}}),
    ("name the file as a job", "GET", "/fine_tuning/jobs/{file}", {}),
    ("name the job as a file", "GET", "/files/{job}/content", {}),
    ("ask the other's model", "POST", "/chat/completions",
     {"json": {"model": "ft:tiny:anna:secret-suffix:{short}", "messages": [{"role": "user", "content": "x"}]}}),
    ("look at the other's model", "GET", "/models/ft:tiny:anna:secret-suffix:{short}", {}),
]  # fmt: skip
"""What is tried, and the request; it must be answered as for an object of nobody."""


@pytest.mark.parametrize(("what", "method", "path", "more"), ATTACKS, ids=[one[0] for one in ATTACKS])
def test_the_other_tenants_objects_look_as_if_they_did_not_exist(api, victim, what, method, path, more):
    own = api.client(api.bert).files.create(file=("own.jsonl", CHATS), purpose="fine-tune").id

    def ask(file: str, job: str) -> tuple[int, str]:
        names = {"file": file, "job": job, "short": job.removeprefix("ftjob-")[:12], "own": own}
        sent = dict(more)
        if "json" in sent:
            text = json.dumps(sent["json"])
            for name, value in names.items():
                text = text.replace("{" + name + "}", value)
            sent["json"] = json.loads(text)
        answer = api.server.ask(api.bert, method, path.format(**names), **sent)
        said = answer.text
        for name in (file, job, names["short"]):
            said = said.replace(name, "ID")
        return answer.status_code, said

    before = (
        api.client().files.retrieve(victim["file"]),
        api.client().fine_tuning.jobs.retrieve(victim["job"]),
    )
    theirs, nobodys = ask(victim["file"], victim["job"]), ask(NOBODYS_FILE, NOBODYS_JOB)
    assert theirs == nobodys and theirs[0] in (400, 404), what
    assert "secret" not in theirs[1].replace("secret-suffix", "")
    after = (
        api.client().files.retrieve(victim["file"]),
        api.client().fine_tuning.jobs.retrieve(victim["job"]),
    )
    assert before == after


def test_lists_hold_only_what_is_ones_own(api, victim):
    texts = [
        api.server.ask(api.bert, "GET", path).text
        for path in (
            "/files", "/files?limit=10000&order=asc", "/files?purpose=fine-tune", "/fine_tuning/jobs?limit=100",
            "/fine_tuning/jobs?metadata[k]=secret-value", "/models",
        )
    ]  # fmt: skip
    for text in texts:
        assert victim["file"] not in text and victim["job"] not in text and "secret" not in text


GUESSES = (
    "..", "../files", "..%2f..%2fapi.sqlite3", "%2e%2e%2fapi.sqlite3", "....//api.sqlite3", "/etc/passwd", "%2fetc%2fpasswd",
    "file-%00", "file-' OR '1'='1", "file-%25", "' UNION SELECT * FROM tenants --", "*", "file-*", "_" * 29, "%", "\u202e",
    "file-" + "a" * 5000, "%0d%0aX-Injected: 1", "${oc.env:HOME}", "$(id)", "`id`", "; rm -rf /", "null", "-1", "0",
)  # fmt: skip


@pytest.mark.parametrize("guess", GUESSES, ids=range(len(GUESSES)))
def test_no_guess_reaches_a_file_or_the_database(api, victim, guess):
    for method, path in (
        ("GET", f"/files/{guess}/content"),
        ("DELETE", f"/files/{guess}"),
        ("POST", f"/fine_tuning/jobs/{guess}/cancel"),
        ("GET", f"/models/{guess}"),
    ):
        answer = api.server.ask(api.bert, method, path)
        assert answer.status_code in (200, 404, 405), (method, path, answer.text)
        if answer.status_code == 200:  # `..` is a list of one's own after the client has resolved it
            assert answer.json()["object"] == "list"
        assert "x-injected" not in answer.headers and "root:" not in answer.text and "sk-" not in answer.text
    for name in ("model", "training_file", "validation_file"):
        body = {"model": "tiny", "training_file": NOBODYS_FILE, name: guess}
        answer = api.server.ask(api.bert, "POST", "/fine_tuning/jobs", json=body)
        assert answer.status_code == 400, answer.text
    assert api.server.ask(api.anna, "GET", f"/files/{victim['file']}").status_code == 200


def test_a_name_of_a_file_is_only_a_text(api):
    for name in (
        "../../../../tmp/x.jsonl",
        "/etc/cron.d/x",
        "a\nb.jsonl",
        'a".jsonl',
        "a\\..\\b.jsonl",
        "x" * 3000,
        "é\u202e.jsonl",
    ):
        made = api.client(api.bert).files.create(file=(name, CHATS), purpose="fine-tune")
        assert "/" not in made.filename and "\n" not in made.filename and len(made.filename) <= 255
        content = api.server.ask(api.bert, "GET", f"/files/{made.id}/content")
        assert content.content == CHATS and content.headers["x-content-type-options"] == "nosniff"
        assert content.headers["content-disposition"].startswith("attachment")
    names = {path.name for path in (api.server.data / "files").iterdir()}
    assert all(name.startswith("file-") and len(name) == 29 for name in names)


def test_a_text_of_a_request_is_in_no_file_of_the_run(api):
    text = "zq-mark ${oc.env:HOME} {{7*7}} !!python/object:os '; id #"
    client = api.client(api.bert)
    file = client.files.create(file=(text, CHATS), purpose="fine-tune").id
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file, suffix=text, metadata={text: text})
    (submitted,) = wait_until(lambda: list((api.server.data / "runs" / job.id).glob("*/job.json")))
    written = [*submitted.parent.rglob("*"), *(api.server.data / "jobs" / job.id).iterdir()]
    assert len(written) > 10
    for path in written:
        assert not path.is_file() or b"zq-mark" not in path.read_bytes(), path
    client.fine_tuning.jobs.cancel(job.id)


def test_the_code_that_is_kept_with_a_run_holds_no_data(api, victim):
    archives = list((api.server.data / "runs" / victim["job"]).glob("*/code/*.tar"))
    names: list[str] = []
    for path in archives:
        with tarfile.open(path) as archive:
            names += archive.getnames()
    assert any(name.endswith("launcher/__main__.py") for name in names)
    data = [name for name in names if name.endswith((".jsonl", "job.yaml", ".sqlite3"))]
    assert all(name.startswith("./conf/data/") for name in data)  # what the launcher ships


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer null"}, {"Authorization": "Bearer %"},
        {"Authorization": "Basic YW5uYTo="}, {"X-Api-Key": "anna"}, {"Authorization": "Bearer " + "0" * 64},
        {"Authorization": "Bearer ' OR 1=1 --"}, {"OpenAI-Organization": "anna", "Authorization": "Bearer x"},
    ],
)  # fmt: skip
def test_no_other_header_opens_the_server(api, headers):
    for path in ("/files", "/fine_tuning/jobs", "/models", "/files?api_key=x"):
        answer = api.server.ask("none", "GET", path, headers=headers)
        assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_api_key"


def test_a_stored_hash_is_no_key(api):
    db = sqlite3.connect(f"file:{api.server.data / 'api.sqlite3'}?mode=ro", uri=True)
    for (digest,) in db.execute("SELECT key_hash FROM tenants"):
        assert api.server.ask(digest, "GET", "/files").status_code == 401


def test_a_path_writes_no_line_of_its_own_into_the_log(api):
    api.server.ask(api.bert, "GET", "/files/x%0alauncher: forged line %1b[31m")
    assert "\nlauncher: forged" not in api.server.log and "\x1b" not in api.server.log
