"""A model that is served: asked by OpenAI's own library, by raw requests, by many at once, and ended in every way."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from launcher.train.after.served import _Refused, rendered
from tests.support.runs import Finished, command, environment
from tests.support.shapes import check_printed
from tests.training.conftest import ANSWER

pytestmark = pytest.mark.train

KEY = "0123456789abcdef0123"
COLOURS: list[Any] = [{"role": "user", "content": "Which colours?"}]
PATH = "/chat/completions"


@dataclass(frozen=True)
class Server:
    """A server that accepts requests."""

    process: "subprocess.Popen[str]"
    address: str
    model: str
    log: Path

    @property
    def worker(self) -> int:
        """The process with the model."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        (pid,) = [int(pid) for pid in children]
        return pid

    def client(self, **more: Any) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=self.address, **{"api_key": "none", "max_retries": 0, "timeout": 60, **more}
        )

    def ask(self, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.post(
            f"{self.address}{PATH}",
            content=content,
            headers={"Content-Type": "application/json", **headers},
            timeout=60,
        )

    def waiting(self) -> int:
        return httpx.get(f"{self.address.removesuffix('/v1')}/health").json()["waiting"]

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextlib.contextmanager
def serving(folder: Path, *words: str, **environ: str) -> Iterator[Server]:
    log = folder / "server.log"
    arguments = ["serve", *words, "--port", "0", "--json"]
    with log.open("w") as said:
        process = subprocess.Popen(
            command(*arguments),
            cwd=folder,
            env=environment(**environ),
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
    assert process.stdout
    line = process.stdout.readline()
    assert line, log.read_text()
    check_printed(arguments, line)
    told = json.loads(line)
    try:
        yield Server(process, told["address"], told["model"], log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(learned: tuple[Finished, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A full fine-tune that knows one answer by heart."""
    with serving(
        tmp_path_factory.mktemp("server"), str(learned[0].path), "--waiting", "2", "--max-new-tokens", "64"
    ) as found:
        yield found


def until(true: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@contextlib.contextmanager
def paused(server: Server) -> Iterator[None]:
    """The process with the model does nothing meanwhile."""
    os.kill(server.worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.worker, signal.SIGCONT)


def test_openais_library_gets_the_answer_that_chat_gives(server, learned):
    done = server.client().chat.completions.create(
        model=server.model, messages=COLOURS, temperature=0, max_tokens=40
    )
    said = subprocess.run(
        command("chat", str(learned[0].path), "--prompt", "Which colours?", "--max-new-tokens", "40", "--json"),
        env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    chat = json.loads(said.stdout)
    assert done.choices[0].message.content == chat["answer"] == ANSWER
    assert (
        done.choices[0].finish_reason == "stop"
        and done.usage
        and done.usage.completion_tokens == chat["tokens"]
    )
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    assert done.object == "chat.completion" and done.model == server.model


def test_a_stream_brings_the_same_answer_in_pieces(server):
    stream = server.client().chat.completions.create(
        model=server.model,
        messages=COLOURS,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    pieces = [
        chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content
    ]
    assert len(pieces) > 2 and "".join(pieces) == ANSWER
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert (
        len({chunk.id for chunk in chunks}) == 1
        and chunks[-1].usage
        and chunks[-1].usage.completion_tokens > 2
    )


def test_an_answer_ends_at_a_stop_text_or_at_its_longest(server):
    create = server.client().chat.completions.create
    stopped = create(model=server.model, messages=COLOURS, temperature=0, stop=["green"])
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("red, ", "stop")
    short = create(model=server.model, messages=COLOURS, temperature=0, max_tokens=3)
    assert short.choices[0].finish_reason == "length" and short.usage and short.usage.completion_tokens == 3
    assert ANSWER.startswith(short.choices[0].message.content or "?")


def test_one_seed_gives_one_answer_and_no_seed_does_not_repeat_it(server):
    def answer(**more: Any) -> str | None:
        odd: list[Any] = [{"role": "user", "content": "zz top 9"}]
        done = server.client().chat.completions.create(
            model=server.model, messages=odd, temperature=2, max_tokens=32, **more
        )
        return done.choices[0].message.content

    assert answer(seed=7) == answer(seed=7)
    assert len({answer(seed=7), answer(), answer(), answer()}) > 1


def test_the_models_are_listed_and_another_name_is_not_found(server):
    client = server.client()
    assert [one.id for one in client.models.list()] == [server.model]
    assert client.models.retrieve(server.model).owned_by == "launcher"
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-5", messages=COLOURS)
    assert caught.value.code == "model_not_found" and f"{server.model} is" in str(caught.value)


def test_a_chat_that_does_not_fit_into_the_context_is_a_bad_request(server):
    turns: Any = [{"role": "user", "content": "x" * 5000}]
    with pytest.raises(openai.BadRequestError, match="of this model's context") as caught:
        server.client().chat.completions.create(model=server.model, messages=turns)
    assert caught.value.code == "context_length_exceeded"


def test_tools_that_the_template_does_not_render_are_refused(server):
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    with pytest.raises(openai.BadRequestError, match="renders no tools") as caught:
        server.client().chat.completions.create(model=server.model, messages=COLOURS, tools=tools)
    assert caught.value.param == "tools"


class Template:
    """A tokenizer, as far as a prompt needs one."""

    def __init__(self, text: str | None) -> None:
        self.chat_template = text

    def apply_chat_template(self, turns: list[dict[str, Any]], *, tokenize: bool, **more: Any) -> str:
        from launcher.data.template import ChatTemplate

        assert self.chat_template
        return ChatTemplate(name_or_path="x", chat_template=self.chat_template).apply_chat_template(
            turns, tokenize=tokenize, **more
        )


ALL = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "turns", "tools", "said"),
    [
        ("{{ raise_exception('roles must alternate') }}", COLOURS, [], "refuses the chat .roles must alternate"),
        ("{{ messages[0].content + 1 }}", COLOURS, [], "fails on the chat"),
        ("{{ messages[-1].content }}", [{"role": "system", "content": "Be brief."}, *COLOURS], [],
         "does not render the content of message 1 .system.; leave it out"),
        (None, [*COLOURS, *COLOURS], [], "no chat template"),
        (ALL, COLOURS, [{"function": {"name": "f"}}], "renders no tools"),
    ],
)  # fmt: skip
def test_a_template_that_fails_or_leaves_something_out_refuses_the_request(template, turns, tools, said):
    with pytest.raises(_Refused, match=said):
        rendered(Template(template), turns, tools)


def test_a_template_that_renders_tools_gets_them():
    template = ALL + "{% for t in tools or [] %}[{{ t.function.name }}]{% endfor %}"
    assert rendered(Template(template), COLOURS, [{"function": {"name": "f"}}]) == "<user>Which colours?[f]"
    assert rendered(Template(None), COLOURS, []) == "Which colours?"


def test_every_error_has_the_shape_of_the_api(server):
    body = {"model": server.model, "messages": COLOURS}
    url = server.address.removesuffix("/v1")
    large = b'{"model": "' + b"x" * (4 << 20) + b'"}'
    answers = {
        400: server.ask(b"{"),
        413: server.ask(large),
        415: server.ask(body, **{"Content-Type": "text/plain"}),
        403: server.ask(body, Host="evil.example"),
        404: httpx.get(f"{url}/v1/embeddings"),
        405: httpx.get(f"{server.address}{PATH}"),
    }
    for status, answer in answers.items():
        assert answer.status_code == status, answer.text
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    in_chunks = httpx.post(
        f"{server.address}{PATH}",
        content=(b" " * 65536 for _ in range(80)),
        headers={"Content-Type": "application/json"},
    )
    assert in_chunks.status_code == 413
    assert server.ask(body).status_code == 200


def test_requests_wait_in_a_bounded_queue_and_all_that_wait_are_answered(server):
    answers: list[Any] = []

    def ask() -> None:
        try:
            done = server.client().chat.completions.create(
                model=server.model, messages=COLOURS, temperature=0
            )
            answers.append(done.choices[0].message.content)
        except openai.RateLimitError as error:
            answers.append(error.response.headers["Retry-After"])

    with paused(server):
        threads = [threading.Thread(target=ask) for _ in range(5)]
        for thread in threads:
            thread.start()
        until(lambda: len(answers) == 2)
        assert answers == ["1", "1"] and server.waiting() == 3
    for thread in threads:
        thread.join(30)
    assert answers[2:] == [ANSWER] * 3


def test_a_client_that_goes_leaves_no_request_behind(server):
    with paused(server):
        for stream in (True, False):
            with pytest.raises(openai.APITimeoutError):
                server.client(timeout=0.3).chat.completions.create(
                    model=server.model, messages=COLOURS, stream=stream, max_tokens=64
                )
        until(lambda: server.waiting() == 1)  # the one that the process with the model has already
    until(lambda: server.waiting() == 0)
    assert server.ask({"model": server.model, "messages": COLOURS}).status_code == 200


@pytest.mark.long
def test_a_killed_server_leaves_nothing_behind(learned, tmp_path):
    with serving(tmp_path, str(learned[0].path)) as server:
        worker = server.worker
        assert server.ask({"model": server.model, "messages": COLOURS, "max_tokens": 4}).status_code == 200
        server.end(signal.SIGKILL)
        until(lambda: is_gone(worker), 5)
        with pytest.raises(httpx.ConnectError):
            server.waiting()


def test_ctrl_c_ends_the_server_and_tells_who_waits_and_only_a_key_opens_it(learned, tmp_path):
    with serving(tmp_path, str(learned[0].path), "--host", "0.0.0.0", LAUNCHER_API_KEY=KEY) as server:
        with pytest.raises(openai.AuthenticationError):
            server.client().models.list()
        client, worker = server.client(api_key=KEY), server.worker
        caught: list[openai.APIStatusError] = []

        def ask() -> None:
            try:
                client.chat.completions.create(model=server.model, messages=COLOURS)
            except openai.APIStatusError as error:
                caught.append(error)

        os.kill(worker, signal.SIGSTOP)
        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: server.waiting() == 1)
        assert server.end() == 130
        thread.join(20)
        assert [error.status_code for error in caught] == [503] and "the server is ending" in str(caught[0])
        assert is_gone(worker)
    assert KEY not in server.log.read_text() and "the server has ended" in server.log.read_text()


@pytest.mark.long
def test_a_server_whose_model_dies_ends_with_an_error(learned, tmp_path):
    with serving(tmp_path, str(learned[0].path)) as server:
        os.kill(server.worker, signal.SIGKILL)
        assert server.process.wait(20) == 3
    assert "SIGKILL" in server.log.read_text()


def test_a_person_is_told_the_address_and_how_to_ask_and_sigterm_ends_it(learned, tmp_path):
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command("serve", str(learned[0].path), "--port", "0", "--name", "mine"),
            cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert process.stdout
    lines = {
        line.split()[0]: line.split(maxsplit=1)[1] for line in (process.stdout.readline() for _ in range(3))
    }
    try:
        curl, url, _, header, _, body = shlex.split(lines["curl"])
        name, _, value = header.partition(": ")
        done = httpx.post(url, content=body, headers={name: value}, timeout=60)
        assert curl == "curl" and done.json()["choices"][0]["message"]["role"] == "assistant"
        found: dict[str, Any] = {"OpenAI": openai.OpenAI}
        exec(f"done = {lines['openai']}", found)
        assert found["done"].model == "mine"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
