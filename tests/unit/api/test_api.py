"""The server of the fine-tuning API, asked by OpenAI's own library; its cluster is a queue in which nothing runs."""

import socket
import time

import openai
import pytest

from tests.support.api_server import CHATS, PAIRS, queueing, wait_until


def upload(client: openai.OpenAI, content: bytes = CHATS, name: str = "train.jsonl") -> str:
    return client.files.create(file=(name, content), purpose="fine-tune").id


def status_is(client: openai.OpenAI, job: str, *wanted: str) -> str:
    return wait_until(
        lambda: found if (found := client.fine_tuning.jobs.retrieve(job).status) in wanted else None
    )


def messages(client: openai.OpenAI, job: str) -> list[str]:
    return [event.message for event in client.fine_tuning.jobs.list_events(job)][::-1]


def test_a_file_is_uploaded_listed_read_and_deleted(api):
    client = api.client()
    made = client.files.create(file=("../../etc/rows.jsonl", CHATS), purpose="fine-tune")
    assert (made.filename, made.bytes, made.purpose, made.status) == (
        "rows.jsonl",
        len(CHATS),
        "fine-tune",
        "processed",
    )
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).content == CHATS
    assert made.id in [one.id for one in client.files.list(purpose="fine-tune")]
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)
    assert not (api.server.data / "files" / made.id).exists()


def test_a_list_is_paged_in_both_orders(api):
    client = api.client()
    made = [upload(client) for _ in range(5)]
    listed = [one.id for one in client.files.list(limit=2)]  # the library asks for page after page
    assert listed[:5] == made[::-1]
    assert [one.id for one in client.files.list(limit=2, order="asc")][-5:] == made
    page = client.files.list(limit=2)
    assert page.has_more and len(page.data) == 2


def test_a_file_can_expire(api):
    client = api.client()
    made = client.files.create(
        file=("a.jsonl", CHATS), purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert made.expires_at == made.created_at + 3600
    with pytest.raises(openai.BadRequestError, match="from 3600 to"):
        client.files.create(
            file=("a.jsonl", CHATS), purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 5}
        )


def test_a_job_waits_in_the_clusters_queue_with_the_decided_hyperparameters(api):
    client = api.client()
    job = client.fine_tuning.jobs.create(
        model="tiny", training_file=upload(client), seed=7, suffix="My Shop", metadata={"team": "a"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "learning_rate_multiplier": 0.5}}},
    )  # fmt: skip
    assert job.status == "validating_files" and job.seed == 7 and job.metadata == {"team": "a"}
    status_is(client, job.id, "queued")
    (run,) = wait_until(lambda: list((api.server.data / "runs" / job.id).glob("*/job.json")))
    config = (run.parent / "config.yaml").read_text()
    for line in (
        "num_train_epochs: 2",
        "learning_rate: 0.005",
        "global_batch_size: 4",
        "seed: 7",
        "eval_path: null",
    ):
        assert line in config, line
    found = client.fine_tuning.jobs.retrieve(job.id)
    assert found.hyperparameters.n_epochs == 2 and found.hyperparameters.batch_size == 4
    assert messages(client, job.id)[:3] == [
        f"Created fine-tuning job: {job.id}",
        f"Validating training file: {job.training_file}",
        "Files validated, moving job to queued state",
    ]
    assert job.id in [one.id for one in client.fine_tuning.jobs.list(metadata={"team": "a"})]
    assert job.id not in [one.id for one in client.fine_tuning.jobs.list(metadata={"team": "b"})]
    client.fine_tuning.jobs.cancel(job.id)


def test_a_file_with_a_fault_fails_the_job_with_its_line_and_reason(api):
    client = api.client()
    lines = CHATS.splitlines(keepends=True)
    broken = b"".join([*lines[:3], b'{"messages": 3}\n', *lines[3:]])
    job = client.fine_tuning.jobs.create(model="tiny", training_file=upload(client, broken))
    assert status_is(client, job.id, "failed", "queued") == "failed"
    error = client.fine_tuning.jobs.retrieve(job.id).error
    assert error and (error.code, error.param) == ("invalid_training_file", "training_file")
    assert "line 4" in error.message and "messages is int" in error.message
    assert str(api.server.data) not in error.message


@pytest.mark.parametrize(
    ("content", "method", "said"),
    [
        (b"".join(CHATS.splitlines(keepends=True)[:3]), "supervised", "3 rows, but must have at least 10"),
        (PAIRS, "supervised", "needs chat rows, and the file has pair rows"),
        (CHATS, "dpo", "needs pair rows, and the file has chat rows"),
        (b"\x00\xff\xfe garbage", "supervised", "line 1"),
    ],
)  # fmt: skip
def test_a_file_that_the_method_cannot_use_fails_the_job(api, content, method, said):
    client = api.client()
    job = client.fine_tuning.jobs.create(
        model="tiny", training_file=upload(client, content), method={"type": method, method: {}}
    )
    assert status_is(client, job.id, "failed", "queued") == "failed"
    error = client.fine_tuning.jobs.retrieve(job.id).error
    assert error and error.code == "invalid_training_file" and said in error.message, error


def test_a_validation_file_is_checked_as_well(api):
    client = api.client()
    job = client.fine_tuning.jobs.create(
        model="tiny", training_file=upload(client), validation_file=upload(client, b'{"messages": 3}\n')
    )
    assert status_is(client, job.id, "failed", "queued") == "failed"
    error = client.fine_tuning.jobs.retrieve(job.id).error
    assert error and (error.code, error.param) == ("invalid_validation_file", "validation_file")


def test_preference_pairs_become_a_dpo_run(api):
    client = api.client()
    job = client.fine_tuning.jobs.create(
        model="tiny", training_file=upload(client, PAIRS),
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.25, "n_epochs": 1, "batch_size": 4}}},
    )  # fmt: skip
    (run,) = wait_until(lambda: list((api.server.data / "runs" / job.id).glob("*/job.json")))
    config = (run.parent / "config.yaml").read_text()
    assert "kind: dpo" in config and "beta: 0.25" in config
    found = client.fine_tuning.jobs.retrieve(job.id)
    assert found.method and found.method.dpo and found.method.dpo.hyperparameters
    assert found.method.dpo.hyperparameters.beta == 0.25
    client.fine_tuning.jobs.cancel(job.id)


def test_a_waiting_job_is_paused_resumed_and_cancelled(api):
    client = api.client()
    job = client.fine_tuning.jobs.create(model="tiny", training_file=upload(client))
    runs = api.server.data / "runs" / job.id
    wait_until(lambda: list(runs.glob("*/job.json")))
    assert client.fine_tuning.jobs.pause(job.id).status == "paused"
    wait_until(lambda: "The job is paused" in messages(client, job.id))
    assert client.fine_tuning.jobs.retrieve(job.id).status == "paused"
    assert (api.server.data / "jobs" / job.id / "train.jsonl").exists()
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    submitted = '"event": "submitted"'
    wait_until(lambda: sum(path.read_text().count(submitted) for path in runs.glob("*/events.jsonl")) == 2)
    assert len(list(runs.iterdir())) == 1  # the same run goes on
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    wait_until(lambda: "The job was cancelled" in messages(client, job.id))
    for act in (
        client.fine_tuning.jobs.cancel,
        client.fine_tuning.jobs.pause,
        client.fine_tuning.jobs.resume,
    ):
        with pytest.raises(openai.BadRequestError, match="is cancelled and cannot be"):
            act(job.id)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "gpt-9"}, "cannot be fine-tuned here; these can: tiny"),
        ({"model": "../tiny"}, "cannot be fine-tuned"),
        ({"training_file": "file-000000000000000000000000"}, "invalid training_file"),
        ({"validation_file": "../../etc/passwd"}, "invalid validation_file"),
        ({"suffix": "x" * 65}, "suffix: "),
        ({"seed": -1}, "seed: "),
        ({"colour": "red"}, "colour: "),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations: "),
        ({"method": {"type": "reinforcement"}}, "method.type: "),
        ({"method": {"type": "supervised", "supervised": {"hyperparameters": {"beta": 1}}}}, "beta"),
        ({"hyperparameters": {"n_epochs": 51}}, "n_epochs"),
        ({"hyperparameters": {"batch_size": True}}, "batch_size"),
        ({"metadata": {"a": "x" * 513}}, "metadata"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_obeyed_is_refused(api, changes, said):
    client = api.client()
    body = {"model": "tiny", "training_file": upload(client), **changes}
    answer = api.server.ask(api.anna, "POST", "/fine_tuning/jobs", json=body)
    assert answer.status_code == 400 and said in answer.json()["error"]["message"], answer.text


def test_a_job_that_is_cancelled_while_it_waits_keeps_no_copy_of_its_data(api):
    client = api.client()
    job = client.fine_tuning.jobs.create(model="tiny", training_file=upload(client))
    wait_until(lambda: list((api.server.data / "runs" / job.id).glob("*/job.json")))
    client.fine_tuning.jobs.pause(job.id)
    wait_until(lambda: "The job is paused" in messages(client, job.id))
    client.fine_tuning.jobs.cancel(job.id)
    assert not (api.server.data / "jobs" / job.id).exists()


def test_the_same_idempotency_key_is_the_same_job(api):
    client = api.client()
    body, headers = {"model": "tiny", "training_file": upload(client)}, {"Idempotency-Key": "one"}
    both = [
        api.server.ask(api.anna, "POST", "/fine_tuning/jobs", json=body, headers=headers).json()
        for _ in range(2)
    ]
    assert both[0]["id"] == both[1]["id"]
    other = api.server.ask(api.anna, "POST", "/fine_tuning/jobs", json={**body, "seed": 4}, headers=headers)
    assert other.status_code == 409
    theirs = api.server.ask(api.bert, "POST", "/fine_tuning/jobs", json=body, headers=headers)
    assert theirs.status_code == 400 and "invalid training_file" in theirs.text
    client.fine_tuning.jobs.cancel(both[0]["id"])


def test_a_repeated_request_has_its_first_answer_after_the_model_is_no_longer_offered(tmp_path):
    with queueing(tmp_path) as server:
        key = server.add("anna")
        server.start()
        client = server.client(key)
        body = {"model": "tiny", "training_file": upload(client), "seed": 1}
        headers = {"Idempotency-Key": "once"}
        job = client.fine_tuning.jobs.create(**body, extra_headers=headers)
        server.end()
        site = tmp_path / "site.yaml"
        site.write_text(site.read_text().replace("{tiny:", "{other:"))
        server.start()
        client = server.client(key)
        assert client.fine_tuning.jobs.create(**body, extra_headers=headers).id == job.id
        with pytest.raises(openai.BadRequestError, match="the model tiny cannot be fine-tuned here"):
            client.fine_tuning.jobs.create(**body)


def test_every_error_has_the_shape_of_the_api_and_every_answer_an_id_that_is_in_the_log(api):
    large = b"x" * ((1 << 20) + (1 << 17))
    form = {"files": {"file": ("a.jsonl", CHATS)}}
    answers = {
        401: api.server.ask("sk-wrong", "GET", "/models"),
        404: api.server.ask(api.anna, "GET", "/embeddings"),
        405: api.server.ask(api.anna, "PUT", "/files"),
        413: api.server.ask(
            api.anna, "POST", "/files", files={"file": ("a.jsonl", large)}, data={"purpose": "fine-tune"}
        ),
        415: api.server.ask(api.anna, "POST", "/fine_tuning/jobs", content=b"{}"),
        400: api.server.ask(api.anna, "POST", "/files", **form, data={"purpose": "assistants"}),
    }
    for status, answer in answers.items():
        assert answer.status_code == status, answer.text
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        said = f"{answer.headers['x-request-id']} "
        wait_until(lambda said=said: said in api.server.log)  # it is logged after the answer is sent
    assert api.server.ask(api.anna, "GET", "/files", params={"limit": 0}).status_code == 400
    for key in (api.anna, api.bert, "sk-wrong"):
        assert key not in api.server.log


def test_a_fault_of_the_server_is_told_with_the_requests_id_and_without_its_paths(api):
    client = api.client()
    file = upload(client)
    (api.server.data / "files" / file).unlink()
    answer = api.server.ask(api.anna, "GET", f"/files/{file}/content")
    assert answer.status_code == 500 and answer.json()["error"]["type"] == "server_error"
    assert answer.headers["x-request-id"] in answer.text and str(api.server.data) not in answer.text
    wait_until(lambda: "RuntimeError" in api.server.log)
    client.files.delete(file)


def test_an_upload_in_chunks_is_bounded_as_well(api):
    def pieces():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        for _ in range(64):
            yield b"x" * 65536

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = api.server.ask(api.anna, "POST", "/files", content=pieces(), headers=headers)
    assert answer.status_code == 413
    assert list((api.server.data / "incoming").iterdir()) == []


def test_prometheus_gets_figures_without_names(api):
    api.client().models.list()
    text = api.server.open("/metrics").text
    assert 'launcher_api_requests_total{method="GET",route="/v1/models",status="200"}' in text
    assert "launcher_api_jobs{status=" in text
    assert "anna" not in text and "tiny" not in text


def test_a_model_to_train_is_listed_and_does_not_answer(api):
    client = api.client()
    assert [one.id for one in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "system"
    with pytest.raises(openai.BadRequestError, match="does not answer here"):
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "Hi"}])


def test_quotas_bound_bytes_jobs_and_gpu_hours(api):
    key = api.server.add("carl", "--mib", "1", "--jobs", "1", "--gpu-hours", "0.001")
    client = api.client(key)
    client.files.create(file=("a.jsonl", b"x" * 700_000), purpose="fine-tune")
    with pytest.raises(openai.RateLimitError, match="of 1,048,576 bytes") as caught:
        client.files.create(file=("a.jsonl", b"x" * 700_000), purpose="fine-tune")
    assert caught.value.code == "insufficient_quota"
    body = {"model": "tiny", "training_file": upload(client)}
    job = client.fine_tuning.jobs.create(**body)
    with pytest.raises(openai.RateLimitError, match="1 of your jobs have not ended"):
        client.fine_tuning.jobs.create(**body)
    client.fine_tuning.jobs.cancel(job.id)
    (tenant,) = [one for one in api.server.verb("api-keys", "list")["tenants"] if one["name"] == "carl"]
    assert tenant["max_gpu_hours"] == 0.001 and tenant["jobs"] == 0 and tenant["bytes"] > 700_000


def test_a_rotated_or_revoked_key_is_refused_at_once(api):
    first = api.server.add("dora")
    second = api.server.verb("api-keys", "rotate", "dora")["key"]
    with pytest.raises(openai.AuthenticationError):
        api.client(first).models.list()
    assert api.client(second).models.list().data
    api.server.verb("api-keys", "revoke", "dora")
    with pytest.raises(openai.AuthenticationError):
        api.client(second).models.list()


def test_no_key_is_stored_and_only_the_owner_can_read_the_folder(api):
    api.server.ask(api.anna, "GET", "/models")
    time.sleep(0.1)
    for path in api.server.data.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or "runs" in path.parts or "cache" in path.parts, path
        if path.is_file() and path.parent == api.server.data:
            content = path.read_bytes()
            assert api.anna.encode() not in content and api.bert.encode() not in content
    assert api.server.data.stat().st_mode & 0o777 == 0o700
    assert api.server.open("/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/v1/files", "multipart/form-data; boundary=b"), ("/v1/fine_tuning/jobs", "application/json")],
)
def test_a_client_that_disconnects_within_its_request_is_one_line_in_the_log(api, path, kind):
    host, port = api.server.address.removeprefix("http://").removesuffix("/v1").split(":")
    before = len(api.server.log)
    with socket.create_connection((host, int(port))) as client:
        lines = (
            f"POST {path} HTTP/1.1",
            "Host: x",
            f"Authorization: Bearer {api.anna}",
            f"Content-Type: {kind}",
        )
        client.sendall("\r\n".join([*lines, "Content-Length: 1000", "", "--b\r\n"]).encode())
        time.sleep(0.3)
    wait_until(lambda: f"POST {path} " in api.server.log[before:])
    time.sleep(0.3)
    assert f"POST {path} 499 " in api.server.log[before:] and "Traceback" not in api.server.log[before:]
