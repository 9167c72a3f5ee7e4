"""README's and the tutorial's commands, typed in the order of the page, in an empty folder and home, with this test's hub."""

import re
from pathlib import Path

import pytest

from tests.firsthour.session import run_all
from tests.firsthour.typed import Typed, read_blocks
from tests.firsthour.words import check_words
from tests.support.hub import serve

CHANGED = (
    ("--model smollm2_135m", "--model tiny", "the real model takes minutes"),
    ("trainer.max_steps=20", "trainer.max_steps=1", "the real model takes minutes"),
)
"""What is typed differently than on the page, and why."""
NOT_TYPED = {
    "make quickstart": "it installs from PyPI and trains for minutes",
    "make test": "it is what runs this test",
    "python3 -m venv .venv": "the test runs in an environment that is installed",
    "source .venv/bin/activate": "the test runs in an environment that is installed",
    "pip install -e": "it installs from PyPI",
    "pip install --no-deps": "it installs from PyPI",
    "vllm serve": "another program, which needs a GPU",
}
"""Beginnings of commands that are not typed, and why."""
PARSED = {
    "README.md": ("launcher status", "launcher report", "launcher chat"),
    "docs/tutorial.md": (
        "launcher --config big_run.yaml --config-dir ~/site cluster=mysite",
        "launcher follow",
        "launcher chat ~/models/mine",
        "launcher evaluate",
    ),
}
"""Beginnings of commands of which only the words are checked. README trains nothing here: the tutorial's test types these
verbs. No Slurm is there: test_cluster_half.py submits. To evaluate and to load a second model takes CI too long;
tests/training/test_after.py does both."""
DRY = {"README.md": ("launcher --config my_run.yaml",)}
"""Beginnings of commands that are typed with dry_run=true."""


@pytest.mark.train
@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_the_first_hour_works_as_typed(page: str, tmp_path: Path):
    typed: list[Typed] = []
    for one in read_blocks(page):
        if one.text.startswith(tuple(NOT_TYPED)):
            continue
        if one.text.startswith(PARSED[page]) and "dry_run=true" not in one.text:
            check_words(one.text)
            continue
        typed.append(one)
    assert len(typed) > 8
    with serve({}) as hub:
        results = run_all(
            [_as_typed(one) for one in typed], tmp_path, {"HF_ENDPOINT": hub.endpoint, "OMP_NUM_THREADS": "2"}
        )
    wrong = [
        f"{page}:{one.line}: {one.text}\n{out}"
        for one, (code, out) in zip(typed, results, strict=True)
        if code
    ]
    assert not wrong, "\n\n".join(wrong)
    assert hub.requests == []  # a plan and a dry run ask no hub; test_hub_page.py types what does


def test_every_exception_names_a_command_of_a_page():
    texts = {page: [one.text for one in read_blocks(page)] for page in PARSED}
    every = [text for page in texts.values() for text in page]
    named = [
        *((start, every) for start in NOT_TYPED),
        *(
            (start, texts[page])
            for table in (PARSED, DRY)
            for page, starts in table.items()
            for start in starts
        ),
    ]
    assert [start for start, among in named if not any(text.startswith(start) for text in among)] == []
    assert [old for old, _, _ in CHANGED if not any(old in text for text in every)] == []


def test_the_readme_has_at_most_150_lines():
    assert len(Path("README.md").read_text().splitlines()) <= 150


def _as_typed(one: Typed) -> str:
    text = one.text
    for old, new, _ in CHANGED:
        text = text.replace(old, new)
    if one.text.startswith(DRY.get(one.page, ("\n",))):
        text = f"{re.sub(r' +#.*', '', text)} dry_run=true"
    return text
