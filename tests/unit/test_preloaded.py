"""What tests/support/preloaded.py forks does what `python -m launcher` does."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import preloaded
from tests.support.paths import ROOT


def undated(text: str) -> str:
    """The text without the second in which a run dir was named."""
    return re.sub(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", "DATE", text)


def variables(folder: Path, **more: str) -> dict[str, str]:
    return {"PATH": "/nowhere", "HOME": str(folder), "LANG": "C.UTF-8", **more}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("plan", "+experiment=tiny", "cluster=local", "tracker.project='größe'", "--json"), 0),
        (("plan", "+experiment=tiny", "trainer.learning_rate=-1", "--json"), 1),
        (("nonsense",), 2),
    ],
)
def test_a_forked_command_prints_and_ends_as_a_started_one(tmp_path: Path, arguments, code: int):
    known = variables(tmp_path)
    started = subprocess.run(
        [sys.executable, "-m", "launcher", *arguments],
        cwd=tmp_path,
        env=known,
        capture_output=True,
        text=True,
    )
    forked = preloaded.run(arguments, tmp_path, known)
    assert started.returncode == code, started.stderr
    assert (forked.returncode, forked.stderr) == (code, started.stderr)
    assert undated(forked.stdout) == undated(started.stdout)


def test_a_forked_command_has_its_own_folder_environment_and_packages(tmp_path: Path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "their_plugin.py").write_text(
        "import os\nfrom launcher.plugins.base import Plugin\nclass Theirs(Plugin):\n    pass\n"
        "print(os.environ['THEIRS'], os.getcwd())\n"
    )
    given = variables(tmp_path, PYTHONPATH=str(tmp_path / "site"), THEIRS="of this command")
    typed = ("plan", "+experiment=tiny", "cluster=local", "+plugins.theirs._target_=their_plugin.Theirs")
    done = preloaded.run(typed, tmp_path, given)
    assert done.returncode == 0, done.stderr
    assert f"of this command {tmp_path}\n" in done.stdout
    without = preloaded.run(typed, tmp_path, variables(tmp_path))
    assert without.returncode == 1 and "their_plugin" in without.stderr


def test_a_command_that_takes_too_long_is_killed_and_the_next_one_runs(tmp_path: Path):
    with pytest.raises(subprocess.TimeoutExpired):
        preloaded.run(("plan", "+experiment=tiny"), tmp_path, variables(tmp_path), timeout_s=0)
    assert preloaded.run(("rules",), tmp_path, variables(tmp_path)).returncode == 0


def test_a_copy_of_the_launcher_on_the_search_path_is_the_one_that_runs(tmp_path: Path):
    copy = tmp_path / "copy"
    (copy / "launcher").mkdir(parents=True)
    (copy / "launcher" / "__init__.py").write_text("")
    (copy / "launcher" / "__main__.py").write_text("import json, sys; print(json.dumps(sys.argv[1:]))")
    done = preloaded.run(("x", "y"), ROOT, variables(tmp_path, PYTHONPATH=str(copy), PYTHONSAFEPATH="1"))
    assert json.loads(done.stdout) == ["x", "y"]
