"""Commands of the other pages, run in this process: launches as dry runs, what needs only files as typed, and of all others
the words are checked. test_pages_typed.py types those that need a run, with one that was trained."""

import json
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.__main__ import main
from tests.firsthour.typed import Typed, read_indented
from tests.firsthour.words import check_words, words_of
from tests.support.paths import ROOT
from tests.support.tiny_model import EMPTY_WEIGHTS

PAGES = [
    *sorted(
        str(path.relative_to(ROOT))
        for folder in ("docs/howto", "docs/guide")
        for path in (ROOT / folder).glob("*.md")
    ),
    "docker/README.md",
]
MOST_OVERRIDES = 8
ENVIRONMENT = {
    "HF_ENDPOINT": "http://127.0.0.1:1",
    "MY_HOOK": "https://hooks.example.org/x",  # docs/howto/notify.md exports it
}
PLANS = ("plan", "rehearse", "fetch")
"""Verbs whose arguments are planned."""
RUN_HERE = (
    "data check",
    "data convert",
    "data rules",
    "init",
    "convert-recipe",
    "list",
    "api-keys add",
    "api-keys list",
)
"""Verbs that need only files, and are run as typed."""
WRITES = {"data convert": 3, "init": -1, "convert-recipe": -1}
"""Verb -> which of its words is a file that it writes, and that must not be there."""
WORDS_ALONE = {
    "resume=RUN": "it needs an earlier run",
    "RUN_DIR/": "it needs an earlier run",
    "trainer.kind=scaled": "a method of another package",
    "tracker=mlflow": "mlflow may be missing",
    "trainer.teacher_logits=FOLDER": "it needs what data teach has stored",
    "--inspect": "it asks a model hub",
    "cluster.ssh=": "it asks a login node",
    "eval_job=": "it needs lm-eval",
}
"""Words of commands that are not run here, and why."""
GIVEN = {
    "cluster=local": ("resources.device=cuda", "without a GPU an 8B model is refused"),
}
"""Words beside which another is typed, and why."""
SLOW = "data check train.jsonl --model"
"""What loads a tokenizer, for seconds: left to --long. tests/unit/data/test_data_rendering.py loads one too."""
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
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages name."""
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
        for file, text in {
            "config.json": json.dumps(shape),
            "tokenizer.json": "{}",
            "model.safetensors": EMPTY_WEIGHTS.decode(),
        }.items():
            (folder / "models" / name / file).write_text(text)
        if name != "base":  # a base model has no chat template
            template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
            (folder / "models" / name / "chat_template.jinja").write_text(template)
    (folder / "my_plugins.py").write_text(_block("docs/howto/plugin.md", "    # my_plugins.py"))
    (folder / "my_rewards.py").write_text("def length(**columns):\n    return []\n\n\ntests_pass = length\n")
    (folder / "my_package").mkdir()
    (folder / "my_package" / "norms.py").write_text(_fence("docs/guide/plugins.md", "my_package/norms.py"))
    (site.parent / "plugin").mkdir()
    (site.parent / "plugin" / "adapter_norm.yaml").write_text(
        _fence("docs/guide/plugins.md", "site/plugin/adapter_norm.yaml")
    )
    (folder / "colours.yaml").write_text(
        _block("docs/howto/evaluate_tasks.md", "    task: colours").replace("/data", str(folder))
    )
    choices = [
        json.dumps({"question": f"Which colour has number {n}?", "choices": ["red", "blue"], "answer": n % 2})
        for n in range(9)
    ]
    for name in ("colours.jsonl", "gsm8k_test.jsonl"):
        (folder / name).write_text("\n".join(choices))
    pairs = [{"instruction": f"What is {n}?", "input": "", "output": f"A number {n}"} for n in range(64)]
    (folder / "alpaca.json").write_text(json.dumps(pairs))
    questions = (folder / "rows.csv").read_text().replace("frage,antwort", "question,answer")
    (folder / "questions.csv").write_text(questions)
    recipe = ROOT / "tests/unit/recipes/fixtures/llama_factory/train_lora_qwen3_lora_sft.yaml"
    shutil.copy(recipe, folder / "qwen3_lora_sft.yaml")
    return folder


@pytest.fixture
def place(pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, as working folder and as home."""
    folder = tmp_path / "place"
    shutil.copytree(pages, folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(pages / "cache"))
    return folder


def _block(page: str, start: str) -> str:
    """The indented block of a page that begins with this line, without its indentation, up to the command below it."""
    lines = (ROOT / page).read_text().partition(f"\n{start}")[2]
    lines = re.split(r"\n(?=\S|    python -m launcher )", lines)[0]
    return textwrap.dedent(f"{start}{lines}\n")


def _fence(page: str, file: str) -> str:
    """The fenced block of a page below the line that names the file."""
    return (ROOT / page).read_text().partition(f"`{file}`:\n\n```")[2].partition("\n")[2].partition("```")[0]


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


@pytest.mark.parametrize(
    "one",
    [pytest.param(one, marks=[pytest.mark.long] * (SLOW in one.text)) for one in COMMANDS],
    ids=lambda one: f"{Path(one.page).stem}:{one.line}",
)
def test_a_command_of_a_page_does_what_it_says(one: Typed, place: Path, capsys: pytest.CaptureFixture[str]):
    text = re.sub(r"(?<=\w)\|\w+", "", one.text) if "'" not in one.text else one.text
    name, overrides = check_words(text)
    if any(word in text for word in WORDS_ALONE) or (name == "fetch" and "=" not in text):
        return
    if name in RUN_HERE:
        words = words_of(text)
        if name in WRITES:
            Path(words[WRITES[name]]).unlink(missing_ok=True)
        code = main([*words, "--json"])
    elif name == "launch":
        code = main([*_placed(words_of(text)), "dry_run=true", "freeze=false", "--json"])
    elif name in PLANS:
        code = main(["plan", *_placed(words_of(text)[1:] if name == "plan" else overrides), "--json"])
    else:
        return
    told = capsys.readouterr()
    assert code == 0, f"{one.page}:{one.line}: {told.err[-500:]} {told.out[-500:]}"


def _placed(words: list[str]) -> list[str]:
    """The words of a launch, with a cluster if they name none."""
    more = [added for word, (added, _) in GIVEN.items() if word in words]
    return [*words, *more, *([] if any(word.startswith("cluster=") for word in words) else ["cluster=slurm"])]


def test_a_how_to_needs_at_most_eight_overrides():
    counts = {
        f"{one.page}:{one.line}": sum("=" in word for word in check_words(one.text.replace("|", ""))[1])
        for one in COMMANDS
        if one.page.startswith("docs/howto")
    }
    assert {at: count for at, count in counts.items() if count > MOST_OVERRIDES} == {}
