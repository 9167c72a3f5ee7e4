"""Commands of the other pages: what launches is planned, and of all others the words are checked."""

import contextlib
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.__main__ import main
from tests.firsthour.typed import Typed, read_indented
from tests.firsthour.words import check_words, words_of
from tests.support.paths import ROOT

PAGES = [
    *sorted(
        str(path.relative_to(ROOT))
        for folder in ("docs/howto", "docs/guide")
        for path in (ROOT / folder).glob("*.md")
    ),
    "docker/README.md",
]
MOST_OVERRIDES = 8
LAUNCHES = ("launch", "plan", "rehearse", "fetch")
WORDS_ALONE = {
    "cluster=local": "without a GPU an 8B model is refused",
    "resume=RUN": "it needs an earlier run",
    "RUN_DIR/": "it needs an earlier run",
    "--config-dir site": "the page's file of a plugin is not written here",
    "trainer.kind=scaled": "a method of another package",
    "tracker=mlflow": "mlflow may be missing",
    "trainer.teacher_logits=FOLDER": "it needs what data teach has stored",
    "--inspect": "it asks a model hub",
    "cluster.ssh=": "it asks a login node",
    "my_plugins.": "the page's own module",
    "my_rewards.": "the page's own module",
    "eval_job=": "it needs lm-eval",
}
"""Words of launches that are not planned, and why."""
ROWS = {
    "chats": '{"messages": [{"role": "user", "content": "Hi %d"}, {"role": "assistant", "content": "Hello %d"}]}',
    "pairs": '{"prompt": "What is %d?", "chosen": "A number, %d", "rejected": "No idea"}',
    "labelled": '{"prompt": "What is %d?", "completion": "A number, %d", "label": true}',
    "corpus": '{"text": "The number %d follows the number before it, and %d precedes the next."}',
    "transcripts": '{"text": "Human: What comes after %d? Assistant: The number after %d."}',
    "prompts": '{"prompt": "What comes after %d? Not %d."}',
    "tickets": '{"text": "Order %d has not arrived.", "label": "late"}',
}
SAME = {"train": "chats", "eval": "chats", "more": "chats", "rows": "chats", "text": "corpus"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files that the pages name, as working folder and as home."""
    folder = tmp_path_factory.mktemp("pages")
    for name in (*ROWS, *SAME):
        row = ROWS[SAME.get(name, name)]
        lines = [row.replace("%d", str(number)) for number in range(64)]
        if "label" in row:
            lines[1] = lines[1].replace("true", "false").replace("late", "lost")
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "rows.csv").write_text(
        "frage,antwort\n" + "".join(f"What is {n}?,A number {n}\n" for n in range(64))
    )
    (folder / "reviews.csv").write_text(
        "review,sentiment\n" + "".join(f"It has {n} parts.,{('good', 'bad')[n % 2]}\n" for n in range(64))
    )
    (folder / "my_run.yaml").write_text("extends: llama8b_lora\ndata: {path: train.jsonl}\n")
    site = folder / "site" / "cluster"
    site.mkdir(parents=True)
    (site / "mysite.yaml").write_text(_site_of_page())
    shape = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
             "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2, "vocab_size": 512}  # fmt: skip
    for name in ("mine", "base", "merged"):
        (folder / "models" / name).mkdir(parents=True)
        (folder / "models" / name / "config.json").write_text(json.dumps(shape))
    before, home = Path.cwd(), os.environ.get("HOME")
    os.chdir(folder)
    os.environ["HOME"] = str(folder)
    yield folder
    os.chdir(before)
    if home is not None:
        os.environ["HOME"] = home


def _site_of_page() -> str:
    """The site file that docs/howto/site_file.md shows."""
    page = (ROOT / "docs/howto/site_file.md").read_text()
    block = re.search(r"^    defaults: .*\n(?:    .*\n)+", page, re.MULTILINE)
    assert block
    return re.sub(r"^    ", "", block[0], flags=re.MULTILINE)


def commands() -> Iterator[Typed]:
    """The commands of all pages; `a|b` stands for two commands, and [X] may be left out."""
    for page in PAGES:
        for one in read_indented(page):
            yield Typed(page=page, line=one.line, text=re.sub(r" \[[^\]=]*\]", "", one.text))


COMMANDS = list(commands())


@pytest.mark.parametrize("one", COMMANDS, ids=lambda one: f"{Path(one.page).stem}:{one.line}")
def test_a_command_of_a_page_is_understood(one: Typed, place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("MY_HOOK", "https://hooks.example.org/x")  # docs/howto/notify.md exports it
    text = re.sub(r"(?<=\w)\|\w+", "", one.text) if "'" not in one.text else one.text
    name, overrides = check_words(text)
    if name == "fetch" and "=" not in text:  # the results of a run
        return
    if name not in LAUNCHES or any(word in text for word in WORDS_ALONE) or "-m" in overrides:
        return
    words = words_of(text)[1:] if name == "plan" else overrides
    if not any(word.startswith("cluster=") for word in words):
        words.append("cluster=slurm")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["plan", *words, "--json"])
    assert code == 0, f"{one.page}:{one.line}: {json.loads(out.getvalue())['error']['message']}"


def test_a_how_to_needs_at_most_eight_overrides():
    counts = {
        f"{one.page}:{one.line}": sum("=" in word for word in check_words(one.text.replace("|", ""))[1])
        for one in COMMANDS
        if one.page.startswith("docs/howto")
    }
    assert {at: count for at, count in counts.items() if count > MOST_OVERRIDES} == {}
