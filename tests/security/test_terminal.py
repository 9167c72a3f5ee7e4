"""What a terminal would obey is shown, wherever it comes from; and the code has no way around it."""

import ast
import io
import shutil
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from launcher.output import make_console, print_text
from tests.security.broken import ESCAPE, fill, plan_run, plan_sweep
from tests.security.calls import call, programs
from tests.support.paths import ROOT

RAW = ("output.py", "__main__.py", "cli/completion.py", "remote/progress.py", "remote/there.py")
"""They print constant texts and numbers alone, or are what makes texts visible; there.py has none of the launcher's modules."""
NO_TERMINAL = ("train/", "supervise/", "plugins/on_rank/", "reference/", "look/")
"""What these print goes into logs, which `logs` and `follow` make visible, or into files."""


def modules() -> dict[str, ast.Module]:
    found: dict[str, ast.Module] = {}
    for path in (ROOT / "launcher").rglob("*.py"):
        name = str(path.relative_to(ROOT / "launcher"))
        if not name.startswith(NO_TERMINAL) and name not in RAW:
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def test_no_module_prints_past_the_function_that_makes_texts_visible():
    found = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (isinstance(node.func, ast.Name) and node.func.id in ("print", "Console"))
    ]
    assert found == []


def test_every_small_json_file_is_read_by_the_module_that_says_what_is_wrong_with_it():
    """`json.loads(path.read_text())` ends in a traceback for a file that is empty, nested, a pipe, or not UTF-8."""
    found = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "loads"
        and any(
            isinstance(one, ast.Attribute) and one.attr in ("read_text", "read_bytes")
            for one in ast.walk(node)
        )
    ]
    assert found == []


def test_a_table_and_a_text_show_an_escape_and_keep_their_colours(capsys):
    table = Table(ESCAPE)
    table.add_row(Text(ESCAPE, style="red"))
    plain, coloured = io.StringIO(), io.StringIO()
    make_console(file=plain, width=80).print(table, ESCAPE, markup=False)
    make_console(file=coloured, width=80, force_terminal=True, color_system="standard").print(table)
    print_text(ESCAPE)
    assert "\x1b" not in plain.getvalue() + capsys.readouterr().out
    assert "\x1b[31m" in coloured.getvalue()
    assert "\x1b]0;" not in coloured.getvalue()


@pytest.mark.parametrize("what", ["run", "sweep"])
def test_a_folder_whose_name_is_an_escape_is_shown_in_every_verb(tmp_path, what: str):
    runs = tmp_path / "runs"
    hostile = f"{ESCAPE}\n\u202e[red]"
    if what == "run":
        source, verbs = (
            fill(plan_run(tmp_path)).path,
            ("status", "logs", "checkpoints", "cancel", "calibrate", "remove"),
        )
        target = source.with_name(hostile)
    else:
        source, verbs = plan_sweep(runs), ("sweep status", "sweep best", "sweep cancel", "remove")
        target = source.with_name(f"sweep_{hostile}")
    shutil.copytree(source, target)
    with programs(tmp_path / "bin"):
        for verb in verbs:
            more = ["--yes"] if verb == "remove" else []
            check(*verb.split(), str(target), *more)
            check(*verb.split(), f"{target.parent.name}/{target.name}x", "--runs-dir", str(runs), *more)
        check("list", "--runs-dir", str(runs))
        check("report", str(target), "--out", str(tmp_path / ESCAPE))


def check(*words: str) -> None:
    called = call(words)
    assert not called.fault, (words, called.fault)
    assert not {"\x1b", "\x07", "\u202e"} & set(called.out + called.err), (words, called)


def test_a_file_of_ones_own_with_an_escape_is_shown(tmp_path):
    own: Path = tmp_path / "mine.yaml"
    for text in (
        f'name: "{ESCAPE!r}"'.replace("'", ""),
        f"? {ESCAPE}",
        'extends: "\\e]0;x"',
        '"\\e[2J": 1',
        'name: "\\e[2J"',
    ):
        own.write_text(text, encoding="utf-8")
        check("plan", "--config", str(own))
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        '{"\\u001b[2J": 1, "messages": [{"role": "\\u001b[2J", "content": "\\u001b[2J"}]}\n' * 3,
        encoding="utf-8",
    )
    check("data", "check", str(rows))
    check("data", "check", str(rows), "--columns", f"prompt={ESCAPE}")
    check("data", "convert", str(rows), str(tmp_path / ESCAPE), "--to", "messages")
