"""The pages' commands that need a run, typed in a shell in the order of each page, after a run of the tiny model."""

import re
from pathlib import Path

import pytest

from tests.firsthour.session import run_all
from tests.firsthour.test_pages import COMMANDS, RUN_HERE, pages
from tests.firsthour.typed import Typed
from tests.firsthour.words import check_words
from tests.support.hub import serve

__all__ = ["pages"]
pytestmark = [pytest.mark.train, pytest.mark.long]

TYPED = (
    "report",
    "status",
    "logs",
    "export",
    "evaluate",
    "chat",
    "data tokenize",
    "sync",
    "sweep",
)
"""Verbs that are typed here. A finished run is not resumed (tests/training/test_resume.py types `resume`), and one on this
machine keeps no code (tests/unit/launching/freeze types `reproduce`)."""
BEFORE = (
    "launcher +experiment=tiny trainer.max_steps=4 data.path=chats.jsonl",
    "launcher -m +experiment=tiny trainer.max_steps=2 data.path=chats.jsonl data.eval_path=eval.jsonl "
    "trainer.learning_rate=1e-3,2e-3",
)
"""A run, and a sweep, which the pages call RUN and SWEEP."""
CHANGED = (
    (r"\bRUN\b", "tiny", "the name of the run"),
    (r"\bSWEEP\b", "", "the newest sweep"),
    (r"experiment=llama8b_lora\b", "experiment=tiny", "there is no GPU for eight billion parameters"),
    (r"\bllama8b_lora\b", "tiny", "the name of the run"),
    (r" --config my_run.yaml", " +experiment=tiny data.path=train.jsonl", "the file extends llama8b_lora"),
    (r"^(\S+ \S+ \S+ chat (?!.*--prompt)\S+)", r'\1 --prompt "Why?"', "nobody types a question"),
    (r"--data eval.csv", "--data eval.jsonl", "the same rows"),
    (r"--checkpoint (200|newest)", "--checkpoint 4", "the run has four steps"),
)
"""What is typed differently than on the page, and why."""
NOT_TYPED = {
    "--tasks": "it needs lm-eval; tests/training/test_tasks.py has a stand-in",
    "--gguf": "it needs llama.cpp; tests/training/test_gguf.py has a stand-in",
    "--queue": "it needs Slurm; tests/cluster submits such a job",
    "quickstart_classify": "a run of another method; tests/training/test_classify.py",
    "classify": "a run of another method; tests/training/test_classify.py",
    "sweep cancel": "the sweep has ended",
    "sweep extend": "tests/cluster/test_sweep_submission.py adds trials",
    "sweep resume": "no trial failed",
    "--watch": "it ends with Ctrl-C",
    "--merged --to tickets_model": "a run of another method",
    "login.site.org": "it asks a login node",
    "sync": "without a tracker there is nothing to send",
}
"""Words of commands that are not typed, and why."""


def _as_typed(text: str) -> str:
    for old, new, _ in CHANGED:
        text = re.sub(old, new, text)
    return text


def needs_run(one: Typed) -> bool:
    """Whether the command is typed here."""
    name, _ = check_words(re.sub(r"(?<=\w)\|\w+", "", one.text))
    text = _as_typed(one.text)
    return name.startswith(TYPED) and name not in RUN_HERE and not any(word in text for word in NOT_TYPED)


@pytest.mark.parametrize("page", sorted({one.page for one in COMMANDS}))
def test_the_commands_of_a_page_that_need_a_run_work_as_typed(page: str, pages: Path, tmp_path: Path):
    typed: list[tuple[int, str]] = []
    for one in COMMANDS:
        if one.page == page and needs_run(one):
            typed.append((one.line, _as_typed(one.text)))
    if not typed:
        return
    needs = any("sweep" in text for _, text in typed)
    before = [f"cp -r {pages}/. .", *BEFORE[: 1 + needs]]
    (tmp_path / "shell").mkdir()
    with serve({}) as hub:
        results = run_all(
            [*before, *(text for _, text in typed)],
            tmp_path / "shell",
            {"HF_ENDPOINT": hub.endpoint, "OMP_NUM_THREADS": "2"},
        )
    told = [*((0, text) for text in before), *typed]
    wrong = [
        f"{page}:{line}: {text}\n{out[-800:]}"
        for (line, text), (code, out) in zip(told, results, strict=True)
        if code
    ]
    assert not wrong, "\n\n".join(wrong)


def test_every_exception_is_of_a_command_of_a_page():
    every = "\n".join(_as_typed(one.text) for one in COMMANDS)
    assert [word for word in NOT_TYPED if word not in every] == []
    used: set[str] = set()
    for one in COMMANDS:
        text = one.text
        for old, new, _ in CHANGED:
            used |= {old} if re.search(old, text) else set()
            text = re.sub(old, new, text)
    assert used == {old for old, _, _ in CHANGED}
