"""A run whose code is kept: what it imports, how it is resumed, and how it is started again."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.run import RunDir
from launcher.run.code import read_code
from tests.support.paths import ROOT

PLUGIN = """
import dataclasses
from launcher.plugins.base import Plugin
@dataclasses.dataclass(frozen=True)
class Mine(Plugin):
    pass
WORD = "first"
"""
TYPED = (
    "+experiment=tiny", "cluster=local", "data.check=off", "dry_run=true", "--json", "+plugins.mine._target_=mine.Mine",
)  # fmt: skip


@pytest.fixture
def kept(cli, tmp_path) -> RunDir:
    """A run of a plugin, whose file has been edited since the launch."""
    (tmp_path / "mine.py").write_text(PLUGIN)
    done = cli(*TYPED, "freeze=true", PATH=os.environ["PATH"], XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    (tmp_path / "mine.py").write_text(PLUGIN.replace("first", "second"))
    return RunDir(Path(json.loads(done.stdout.splitlines()[-1])["run_dir"]))


def imported(run: RunDir) -> list[str]:
    """What a job of the run imports: its script, with another last line."""
    script = run.job_script.read_text().rpartition(" -m launcher.supervise .")[0]
    script += " -c 'import mine, launcher; print(mine.WORD); print(launcher.__file__)'\n"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_job_imports_what_was_there_when_the_command_was_typed(kept, tmp_path):
    word, program = imported(kept)
    assert word == "first"
    assert Path(program).is_relative_to(tmp_path / "cache")
    (copy,) = (Path(one).parent for one in (tmp_path / "cache").rglob("mine.py"))
    (copy / "mine.py").unlink()
    (copy / "mine.py").write_text(PLUGIN.replace("first", "third"))  # the copy is not what was kept
    assert imported(kept)[0] == "first"
    assert "third" in next(copy.parent.glob(f"{copy.name}.changed.*/mine.py")).read_text()
    shutil.rmtree(tmp_path / "cache")  # the run dir holds it too
    assert imported(kept)[0] == "first"
    code = read_code(kept.code)
    assert code is not None
    assert [root.kind for root in code.roots] == ["program", "work"]
    assert code.packages["omegaconf"].startswith("2.3")


def test_the_folder_of_the_console_script_is_not_kept(tmp_path: Path):
    scripts = tmp_path / "bin"
    scripts.mkdir()
    (scripts / "launcher").write_text(
        "import sys\nfrom launcher.__main__ import script\nsys.exit(script())\n"
    )
    (tmp_path / "work").mkdir()
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    typed = [sys.executable, str(scripts / "launcher"), *TYPED[:-1], "freeze=true"]
    done = subprocess.run(typed, cwd=tmp_path / "work", env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code = read_code(RunDir(Path(json.loads(done.stdout.splitlines()[-1])["run_dir"])).code)
    assert code is not None
    assert str(scripts) not in [root.source for root in code.roots]


def test_a_resume_uses_the_kept_code_unless_the_current_one_is_requested(cli, kept, tmp_path):
    cache = str(tmp_path / "cache")
    kept.add_event("started", attempt=1)
    kept.add_event("stopped", attempt=1, exit_code=137, reason="killed")
    done = cli("resume", kept.name, "dry_run=true", PATH=os.environ["PATH"], XDG_CACHE_HOME=cache)
    assert done.returncode == 0, done.stderr
    assert "continues with the code of its launch; the code has changed since" in done.stderr
    assert imported(kept)[0] == "first"
    done = cli(
        "resume",
        kept.name,
        "freeze=true",
        "dry_run=true",
        "--json",
        PATH=os.environ["PATH"],
        XDG_CACHE_HOME=cache,
    )
    assert "the code differs from that of the launch: 1 file of" in done.stderr
    assert "(mine.py)" in done.stderr
    assert imported(kept)[0] == "second"


def test_reproduce_starts_a_new_run_with_the_code_of_the_first(cli, kept):
    done = cli(
        "reproduce",
        kept.name,
        "dry_run=true",
        "--json",
        PATH=os.environ["PATH"],
        XDG_CACHE_HOME=str(kept.path.parents[2] / "cache"),
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["reproduces"] == kept.name
    assert told["differs"] == []
    again = RunDir(Path(told["run_dir"]))
    assert again.path != kept.path
    assert imported(again)[0] == "first"
    assert again.config.read_text() == kept.config.read_text()


def test_reproduce_tells_other_packages_and_data_and_refuses_a_run_without_code(cli, kept):
    text = json.loads(kept.code.read_text())
    text["packages"] |= {"omegaconf": "1.0", "gone": "3"}
    text["data"] = {"/nowhere/rows.jsonl": "3 bytes, x"}
    kept.code.write_text(json.dumps(text))
    done = cli("reproduce", kept.name, "dry_run=true", PATH=os.environ["PATH"])
    assert "2 packages changed (gone 3 -> absent, omegaconf 1.0 -> " in done.stderr
    assert "/nowhere/rows.jsonl is missing" in done.stderr
    plan = kept.plan.read_text()
    kept.plan.write_text("{}")
    done = cli("reproduce", kept.name)
    assert done.stderr.splitlines()[-1].endswith(
        "plan.json does not say where the run was launched; was it edited?"
    )
    kept.plan.write_text(plan)
    kept.code.unlink()
    done = cli("reproduce", kept.name)
    assert done.returncode == 1
    assert "was not kept" in done.stderr


def test_a_run_in_a_queue_is_kept_unless_it_is_forbidden(cli, tmp_path):
    typed = [word for word in TYPED[:-1] if not word.startswith("cluster=")]
    for more, folders in (([], 2), (["freeze=false"], 0)):
        done = cli(
            *typed, "cluster=slurm", *more, PATH=os.environ["PATH"], XDG_CACHE_HOME=str(tmp_path / "cache")
        )
        assert done.returncode == 0, done.stderr
        plan = json.loads(Path(json.loads(done.stdout)["run_dir"], "plan.json").read_text())
        assert len(plan["facts"]["code"]) == folders
    assert cli(*TYPED[:-1], "freeze=true").stderr.count("freeze=true needs the program tar") == 1
