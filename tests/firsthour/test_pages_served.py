"""The pages' commands that need something else than a finished run, typed in a shell: a provider, a hub that takes pushes, a
classifier, a server that runs until it is stopped, a run that was interrupted, a teacher, llama.cpp."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.firsthour.session import run_all
from tests.firsthour.test_pages import COMMANDS, PLANS, RUN_HERE, WORDS_ALONE, pages
from tests.firsthour.test_pages_typed import needs_run
from tests.firsthour.typed import Typed
from tests.firsthour.words import check_words
from tests.support import gguf_converter
from tests.support.hub import COMMIT, serve
from tests.support.hub_writes import TOKEN, serve_writable
from tests.support.openai_server import KEY, openai_server
from tests.support.paths import ROOT

__all__ = ["pages"]
pytestmark = [pytest.mark.train, pytest.mark.long]

UNTIL = """until_in() {
    files=$1; word=$2; shift 2; rm -f said; "$@" > said 2>&1 & pid=$!
    for _ in $(seq 1200); do grep -qs "$word" $files && break; kill -0 $pid 2> /dev/null || break; sleep 0.1; done
    kill -TERM $pid; wait $pid; code=$?; cat said; [ $code = 143 ]
}"""
"""until_in FILES WORD COMMAND...: runs the command until a file has the word; 0 if SIGTERM has then ended it."""
RUN = "launcher +experiment=tiny data.path=chats.jsonl data.eval_path=null"
INTERRUPTED = (
    f"rm -rf runs; until_in 'runs/tiny/*/events.jsonl' '\"saved\"' {RUN} trainer.max_steps=150 "
    "plugin=[lora,sharded_checkpoint] plugins.sharded_checkpoint.save_steps=20; true"
)
TINY = (
    f"{sys.executable} -c 'import sys; from pathlib import Path; from tests.support.tiny_model import write_tiny; \
write_tiny(Path(sys.argv[1]), seed=1)'"
)
AS_TINY = (
    (r"experiment=llama8b_lora\b", "experiment=tiny"),
    (r"\bllama8b_lora\b", "tiny"),
    (r"\bRUN\b", "tiny"),
)
"""There is no GPU for eight billion parameters."""
SERVED = (
    *AS_TINY,
    (r"^python -m launcher (serve\S*)", r"until_in said Ctrl-C python -m launcher \1 --port 0"),
)
"""A server is stopped once it has said how."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What some commands need, and how they are typed then."""

    chosen: str
    """A pattern of the commands."""
    before: tuple[str, ...] = ()
    before_each: str = "true"
    changed: tuple[tuple[str, str], ...] = AS_TINY


SETTINGS = {
    "provider": Setting(
        chosen=r"launcher managed ", before=("cp questions.csv train.csv",),
        changed=((r"status\|poll.*", "status"), (r"\bJOB\b", "ftjob-2")),
    ),
    "hub": Setting(chosen=r"launcher push ", before=(f"{RUN} trainer.max_steps=4",)),
    "base model": Setting(chosen=r"launcher stale ", before=(
        f"launcher +experiment=llama8b_lora model.revision={COMMIT} data.path=train.jsonl cluster=slurm dry_run=true",
        "mv runs/llama8b_lora runs/planned",
    ), changed=((r"stale llama8b_lora", "stale runs/planned/*"),)),
    "classifier": Setting(chosen=r"launcher classify |tickets_model", before=(
        "cp tickets.jsonl new.jsonl",
        "launcher +experiment=tiny name=quickstart_classify trainer=classify trainer.max_steps=4 data.path=tickets.jsonl "
        "data.eval_path=null",
    ), before_each="rm -f sorted.jsonl", changed=((r"\bRUN\b", "quickstart_classify"),)),
    "server": Setting(chosen=r"launcher serve (?!.*(--job|vllm))", before=(
        f"{RUN} trainer.max_steps=4", "export LAUNCHER_API_KEY=a_key_of_this_test_only",
        "rm -rf ~/models/mine; launcher export tiny --merged --to ~/models/mine",
    ), changed=((" --port 8080", ""), *SERVED)),
    "operator": Setting(chosen=r"launcher (serve-api|api-keys (rotate|revoke)) ", before=(
        "launcher api-keys add bert --data-dir ~/api",
        "printf 'models: {tiny: {extends: tiny}}\\nrun: {cluster: local}\\n' > site.yaml",
    ), changed=(("/shared/api", "shared_api"), *SERVED)),
    "interrupted": Setting(chosen=r"launcher resume ", before_each=INTERRUPTED),
    "finished": Setting(
        chosen=r"RUN_DIR/|resume=RUN",
        before=(
            f"{TINY} start",
            f"{RUN} name=first model.name_or_path=./start model.init=pretrained trainer.max_steps=4 "
            "plugin=[lora,sharded_checkpoint] plugins.sharded_checkpoint.save_steps=2",
        ),
        changed=(
            (r"RUN_DIR", "$(echo runs/first/*)"), (r"resume=RUN", "resume=first model.name_or_path=./start"),
            (r"experiment=llama8b_lora", "experiment=tiny model.init=pretrained"),
        ),
    ),
    "teacher": Setting(
        chosen=r"launcher data teach|teacher_logits",
        before=("mkdir my", f"{TINY} my/teacher"),
        changed=(
            (r"trainer=distill", "trainer=distill model.name_or_path=my/teacher model.init=pretrained"),
            (r"(data teach .*)", r"\1 --json | tee taught.json"),
            (r"=FOLDER", r"""=$(grep -o '"folder": *"[^"]*' taught.json | cut -d '"' -f 4)"""),
            *AS_TINY,
        ),
    ),
    "llama.cpp": Setting(chosen=r"--gguf", before=(
        f"{RUN} trainer.max_steps=2 plugin=[]", "mkdir -p llama.cpp/build/bin",
        f"cp {gguf_converter.__file__} llama.cpp/convert_hf_to_gguf.py",
        "printf '#!/bin/sh\\ncp \"$1\" \"$2\"\\n' > llama.cpp/build/bin/llama-quantize", "chmod +x llama.cpp/build/bin/*",
    )),
}  # fmt: skip
NOT_TYPED = {
    "--queue": "it needs Slurm; tests/cluster submits such a job",
    "--job": "it needs Slurm; tests/cluster submits such a job",
    "site probe": "it needs Slurm; tests/cluster types it on the lab",
    "site check": "it needs Slurm; tests/cluster types it on the lab",
    "vllm": "it needs vLLM and a GPU",
    "--tasks": "it needs lm-eval; tests/training/test_tasks.py has a stand-in",
    "eval_job=": "it needs lm-eval; tests/training/test_eval_job.py has a stand-in",
    "login.site.org": "it asks a login node; tests/cluster/test_ssh.py types it",
    "launcher fetch llama8b_lora": "it asks a login node; tests/cluster/test_ssh.py types it",
    "sweep cancel": "the sweep has ended; tests/unit/sweep types it",
    "sweep extend": "tests/unit/sweep/test_commands.py types it",
    "sweep resume": "tests/unit/sweep/test_commands.py types it",
    "--watch": "it ends with Ctrl-C",
    "trainer.kind=scaled": "a method of another package; tests/extending types it",
    "launcher reproduce": "a run on this machine keeps no code; tests/unit/launching/freeze types it",
    "tracker=mlflow": "it asks a server of MLflow",
    "--inspect": "it asks a model hub for a model that no test has",
    "launcher sync": "without a tracker there is nothing to send; tests/training/test_tracking.py types it",
}
"""Words of commands that are typed nowhere in this folder, and why."""


@contextmanager
def surroundings(name: str, folder: Path) -> Iterator[dict[str, str]]:
    """The variables of a setting's shell, while its servers run."""
    if name == "provider":
        with openai_server() as provider:
            yield {"OPENAI_BASE_URL": provider.url, "OPENAI_API_KEY": KEY}
    elif name == "hub":
        (folder / "hub").mkdir()
        with serve_writable(folder / "hub") as hub:
            yield {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    elif name == "base model":
        (folder / "base").mkdir()
        (folder / "base" / "config.json").write_text("{}")
        with serve({("model", "meta-llama/Llama-3.1-8B-Instruct"): folder / "base"}) as hub:
            yield {"HF_ENDPOINT": hub.endpoint}
    else:
        with serve({}) as hub:
            yield {"HF_ENDPOINT": hub.endpoint}


def typed_in(setting: Setting) -> Iterator[tuple[Typed, str]]:
    """The commands of the setting, as they are typed."""
    for one in COMMANDS:
        if re.search(setting.chosen, one.text) and not any(word in one.text for word in NOT_TYPED):
            text = one.text
            for old, new in setting.changed:
                text = re.sub(old, new, text)
            yield one, text


@pytest.mark.parametrize("name", SETTINGS)
def test_the_commands_of_a_setting_work_as_typed(name: str, pages: Path, tmp_path: Path):
    setting = SETTINGS[name]
    before = [UNTIL, f"cp -r {pages}/. . && mkdir -p ~/models && cp -r models/. ~/models", *setting.before]
    told: list[tuple[str, str]] = [("before", text) for text in before]
    for one, text in typed_in(setting):
        told += [("before", setting.before_each), (f"{one.page}:{one.line}", text)]
    assert len(told) > len(before)
    (tmp_path / "shell").mkdir()
    with surroundings(name, tmp_path) as variables:
        results = run_all(
            [text for _, text in told], tmp_path / "shell",
            {"OMP_NUM_THREADS": "2", "TEST_ROOT": str(ROOT), **variables},
        )  # fmt: skip
    wrong = [
        f"{at}: {text}\n{out[-1500:]}" for (at, text), (code, out) in zip(told, results, strict=True) if code
    ]
    assert not wrong, "\n\n".join(wrong)


def test_each_command_is_typed_or_planned_or_is_an_exception():
    served = {(one.page, one.line) for setting in SETTINGS.values() for one, _ in typed_in(setting)}
    left: list[str] = []
    for one in COMMANDS:
        name, _ = check_words(re.sub(r"(?<=\w)\|\w+", "", one.text))
        planned = name in (*RUN_HERE, *PLANS, "launch") and not any(word in one.text for word in WORDS_ALONE)
        excepted = any(word in one.text for word in NOT_TYPED)
        if not (planned or needs_run(one) or (one.page, one.line) in served or excepted):
            left.append(f"{one.page}:{one.line}: {one.text}")
    assert left == []
    every = "\n".join(one.text for one in COMMANDS)
    assert [word for word in NOT_TYPED if word not in every] == []
