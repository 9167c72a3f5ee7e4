"""A model and a data set that come from a hub: fetched once, before the ranks start, which then ask nothing."""

import json
import subprocess
from pathlib import Path

import pytest

from launcher.errors import Exit
from launcher.hub import find_missing
from tests.support import preloaded
from tests.support.hub import COMMIT, serve
from tests.support.runs import Finished, command, environment

pytestmark = pytest.mark.train
MODEL, DATA = "me/tiny", "me/chats"
RUN = (
    "+experiment=tiny", "cluster=local", "--json", "model.init=pretrained", f"model.name_or_path={MODEL}",
    f"data.path=hub:{DATA}", "data.eval_path=null", "trainer.max_steps=4",
)  # fmt: skip


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """A model of a few layers, with a copy of its weights that nobody here needs, and some chats."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from launcher.data.tokenizer import byte_tokenizer

    folder = tmp_path_factory.mktemp("hub")
    tokenizer = byte_tokenizer()
    torch.manual_seed(0)
    shape = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    (folder / "model" / "original").mkdir()
    (folder / "model" / "original" / "consolidated.00.pth").write_text("the same again")
    (folder / "data").mkdir()
    chat = [{"role": "user", "content": "ping"}, {"role": "assistant", "content": "pong"}]
    rows = (
        json.dumps({"messages": [*chat, {"role": "user", "content": str(n)}, chat[1]]}) for n in range(24)
    )
    (folder / "data" / "train.jsonl").write_text("\n".join(rows))
    return {("model", MODEL): folder / "model", ("dataset", DATA): folder / "data"}


def start(folder: Path, home: Path, endpoint: str, *overrides: str) -> tuple[int, Finished, str]:
    known = environment(HF_ENDPOINT=endpoint, HF_HOME=str(home))
    done = preloaded.run((*RUN, f"cache_dir={folder}/cache", *overrides), folder, known, timeout_s=300)
    assert done.stdout, done.stderr
    return done.returncode, Finished(Path(json.loads(done.stdout.splitlines()[0])["run_dir"])), done.stderr


@pytest.mark.long
def test_two_ranks_train_while_the_hub_is_gone_that_one_process_has_fetched_from(repositories, tmp_path):
    """The hub is shut down as soon as all is fetched, and the ranks wait for that in the plugin's on_load."""
    (tmp_path / "wait.py").write_text(WAIT)
    home = tmp_path / "home"
    with serve(repositories) as hub:
        launched = subprocess.Popen(
            command(*RUN, "resources.gpus_per_node=2", "+plugins.wait._target_=wait.Wait", f"cache_dir={tmp_path}/cache"),
            cwd=tmp_path, env=environment(HF_ENDPOINT=hub.endpoint, HF_HOME=str(home)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert launched.stdout
        run = Finished(Path(json.loads(launched.stdout.readline())["run_dir"]))
        while not (run.path / "loading").exists():
            assert launched.poll() is None, run.logs()
        asked = len(hub.requests)
        hub.close()
        (run.path / "go").touch()
        assert launched.wait(200) == 0, run.logs()
    assert len(hub.requests) == asked
    (fetched,) = run.events("fetched")
    assert fetched["commit"] == COMMIT
    weights = [one for one in hub.requests if one.startswith("GET") and one.endswith("model.safetensors")]
    assert len(weights) == 1
    assert not any("original" in one for one in hub.requests)
    assert len(run.losses) == 4


WAIT = """
import os, time
from dataclasses import dataclass
from pathlib import Path
from launcher.plugins.base import Plugin

@dataclass(frozen=True, kw_only=True)
class Wait(Plugin):
    def on_load(self, kwargs):
        Path("loading").touch()
        while not Path("go").exists():
            time.sleep(0.05)
        return kwargs
"""


def test_a_hub_that_is_away_with_an_empty_cache_stops_the_run_for_good_with_one_sentence(
    repositories, tmp_path
):
    with serve(repositories) as hub:
        pass
    home = tmp_path / "home"
    code, run, _ = start(tmp_path, home, hub.endpoint, "dry_run=true")
    assert code == 0
    known = environment(HF_ENDPOINT=hub.endpoint, HF_HOME=str(home))
    done = subprocess.run(["bash", str(run.path / "job.sbatch")], env=known, timeout=120)
    (stopped,) = run.events("stopped")
    assert (done.returncode, stopped["exit_code"]) == (Exit.FETCH_FAILED, Exit.FETCH_FAILED)
    assert f"model.name_or_path={MODEL} is not in the cache {home}/hub" in stopped["reason"]
    assert "Connection refused" in stopped["reason"] and "launcher fetch" in stopped["reason"]
    assert len(run.events("started")) == 1


def launched(
    folder: Path, endpoint: str, *overrides: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    known = environment(HF_ENDPOINT=endpoint, HF_HOME=str(folder / "home"), **environ)
    return preloaded.run((*RUN, *overrides), folder, known, timeout_s=120)


@pytest.mark.parametrize(
    ("overrides", "environ", "said"),
    [
        (["model.name_or_path=me/tinny"], {}, "model.name_or_path=me/tinny: the hub says RepoNotFound"),
        (
            ["model.name_or_path=me/closed"],
            {},
            "model.name_or_path=me/closed: the hub says GatedRepo; request access",
        ),
        (["model.revision=v9"], {}, "the hub says RevisionNotFound"),
        (["data.path=hub:me/chatz"], {}, "data.path=hub:me/chatz: the hub says RepoNotFound"),
        (
            ["trainer=distill", "trainer.teacher=me/teachr"],
            {},
            "trainer.teacher=me/teachr: the hub says RepoNotFound",
        ),
        ([], {"HF_HUB_OFFLINE": "1"}, "is not in the cache"),
        ([], {"HF_ENDPOINT": "http://127.0.0.1:9"}, "127.0.0.1:9 does not answer here (Connection refused)"),
    ],
)
def test_a_name_that_is_not_to_be_had_is_refused_before_anything_is_written(
    repositories, tmp_path, overrides, environ, said
):
    closed = {("model", "me/closed"): repositories["model", MODEL]}
    with serve({**repositories, **closed}, gated=("me/closed",)) as hub:
        done = launched(tmp_path, environ.pop("HF_ENDPOINT", hub.endpoint), *overrides, **environ)
    assert done.returncode == 1
    refusal = done.stderr.splitlines()[-1]  # behind warnings of the plan
    assert said in refusal and "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_what_fetch_has_brought_needs_no_hub(repositories, tmp_path):
    known = {"HF_HOME": str(tmp_path / "home")}
    with serve(repositories) as hub:
        words = ("fetch", *(word for word in RUN if word != "--json"), "--json")
        done = preloaded.run(words, tmp_path, environment(HF_ENDPOINT=hub.endpoint, **known))
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
    assert (told["names"], told["commit"]) == ([MODEL, f"hub:{DATA}"], COMMIT)
    assert told["bytes"] > 100_000
    done = launched(tmp_path, hub.endpoint, "dry_run=false", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_a_teacher_is_fetched_as_the_model_is(repositories, tmp_path):
    known = {**repositories, ("model", "me/teacher"): repositories["model", MODEL]}
    with serve(known) as hub:
        code, run, said = start(
            tmp_path, tmp_path / "home", hub.endpoint, "trainer=distill", "trainer.teacher=me/teacher"
        )
        assert code == 0, said + run.logs()
    weights = [one for one in hub.requests if one.startswith("GET") and one.endswith("model.safetensors")]
    assert len(weights) == 2 and "me/teacher" in "".join(weights)
    assert len(run.losses) == 4


def test_fetch_of_a_run_that_needs_no_hub_says_so(cli):
    done = cli("fetch", "+experiment=tiny")
    assert (done.returncode, done.stdout) == (0, "this run reads nothing from a hub\n")
    assert "example: python -m launcher fetch" in cli("fetch", "--help").stdout


def test_a_model_is_whole_when_every_shard_of_its_index_is_there(tmp_path):
    assert find_missing(tmp_path) == "config.json"
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    assert find_missing(tmp_path) == "model.safetensors"
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "model-1.safetensors").touch()
    assert find_missing(tmp_path) == "model-2.safetensors"
    (tmp_path / "model-2.safetensors").touch()
    assert find_missing(tmp_path) is None
