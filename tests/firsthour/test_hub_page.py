"""The commands of the page on hubs, typed in a shell whose only network is a hub of this test."""

import json
from pathlib import Path

import pytest

from tests.firsthour.session import run_all
from tests.firsthour.typed import read_indented
from tests.support.hub import serve
from tests.support.tiny_model import EMPTY_WEIGHTS

MODEL, REVISION = "meta-llama/Llama-3.1-8B-Instruct", "0e9e39f249a16976918f6564b8830bc894c89659"
"""What conf/model/llama3_1_8b.yaml names."""
DATA = "HuggingFaceH4/no_robots"
FILES = {
    "config.json": json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}),
    "tokenizer.json": "{}",
    "model.safetensors": EMPTY_WEIGHTS.decode(),
}


@pytest.fixture
def repositories(tmp_path: Path) -> dict[tuple[str, str], Path]:
    model, data = tmp_path / "model", tmp_path / "data"
    for folder in (model, data / "data"):
        folder.mkdir(parents=True)
    for name, text in FILES.items():
        (model / name).write_text(text)
    chat = [{"role": "user", "content": "ping"}, {"role": "assistant", "content": "pong"}]
    (data / "data" / "train.jsonl").write_text(f"{json.dumps({'messages': chat})}\n" * 20)
    return {("model", MODEL): model, ("dataset", DATA): data}


def test_the_commands_of_the_hub_page_ask_the_hub_and_fetch_from_it(
    tmp_path: Path, repositories: dict[tuple[str, str], Path]
):
    launch, fetch = (one.text for one in read_indented("docs/howto/hub.md"))
    place = " cluster=slurm"  # no Slurm is there: the launch is planned, checked, asked for and not submitted
    with serve(repositories, revisions=(REVISION,)) as hub:
        (tmp_path / "shell").mkdir()
        results = run_all(
            [launch + place, fetch + place, launch.replace("no_robots", "no_robotts") + place],
            tmp_path / "shell",
            {"HF_ENDPOINT": hub.endpoint},
        )
    (_, launched), (code, fetched), (refused, told) = results
    assert any(DATA in one for one in hub.requests) and any(MODEL in one for one in hub.requests), launched
    assert "sbatch" in launched.splitlines()[-1]  # the first thing that is missing is Slurm
    assert code == 0, fetched
    cached = list((tmp_path / "shell" / "home").rglob("model.safetensors"))
    assert [path.read_text() for path in cached] == [FILES["model.safetensors"]]
    assert refused == 1 and "no_robotts: the hub says" in told
