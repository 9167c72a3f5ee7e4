"""The data check at the front of a launch: errors stop it, warnings are printed and kept in the run dir."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.data.files import read_rows
from launcher.data.places import fix_files
from launcher.errors import ConfigError
from launcher.launching import data_gate as gate
from launcher.launching.data_gate import data_paths, files_of
from launcher.launching.kept import KEPT_FROM
from launcher.plugins.decide import read_run
from launcher.run import RunDir

TINY = ("+experiment=tiny", "cluster=slurm", "data.eval_path=null", "freeze=false")
ROW = {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good evening."}]}
BAD = {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes rows as a JSONL file in the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(*rows: dict, name: str = "train.jsonl") -> Path:
        (tmp_path / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return tmp_path / name

    return write


@pytest.fixture
def launch(write, tmp_path: Path, cli) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A dry run of the tiny experiment on train.jsonl."""

    def launch(*overrides: str) -> subprocess.CompletedProcess[str]:
        typed = [*TINY, "resources.device=cpu", "data.path=train.jsonl", "dry_run=true", "--json"]
        typed += ["trainer.max_steps=10", *overrides]
        return cli(*typed, sbatch="echo 1")

    return launch


def run_of(done: subprocess.CompletedProcess[str]) -> RunDir:
    return RunDir(Path(json.loads(done.stdout)["run_dir"]))


def test_an_error_in_the_last_row_of_a_large_file_stops_the_launch_with_its_line(write, launch, tmp_path):
    write(*[ROW] * 3000, BAD)
    done = launch()
    assert done.returncode == 1
    wrong = f"{tmp_path}/train.jsonl, line 3001: no assistant turn"
    assert json.loads(done.stdout)["error"]["message"].startswith(wrong)
    assert done.stderr.startswith(f"launcher: {wrong}")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_refusal_says_how_many_more_and_what_shows_them(write, launch, tmp_path):
    write(BAD, ROW, BAD, BAD)
    assert launch().stderr.endswith(
        f"; and 2 more, which python -m launcher data check {tmp_path}/train.jsonl shows\n"
    )


def test_no_row_is_left_out_against_a_fault_of_the_whole_file(write, launch):
    write(*[ROW] * 60)
    said = launch("data.columns={prompt: question}").stderr
    assert "no row has the column question" in said
    assert "data.on_bad_row" not in said


def test_warnings_are_printed_once_for_a_rule_and_kept_in_the_run_dir(write, launch, tmp_path):
    write(ROW, ROW, ROW)
    done = launch()
    assert done.returncode == 0
    said = [line for line in done.stderr.splitlines() if "[duplicate]" in line]
    assert said == [
        f"launcher: warning: {tmp_path}/train.jsonl, line 2: the same as line 1; remove one of them (and 1 more) [duplicate]"
    ]
    (kept,) = json.loads(run_of(done).data_check.read_text())
    assert kept["counts"]["duplicate"] == 2


def test_near_duplicates_and_overlap_are_found_before_a_launch_too(write, launch):
    said = [f"word{number}" for number in range(40)]
    near = [{"prompt": "a", "completion": " ".join([*said, str(number)])} for number in range(2)]
    write(*near)
    write({"prompt": "b", "completion": " ".join(said[5:25])}, name="eval.jsonl")
    (kept,) = json.loads(run_of(launch("data.eval_path=eval.jsonl")).data_check.read_text())
    assert {"near_duplicate", "eval_overlap"} <= set(kept["counts"])


def test_check_errors_looks_for_no_duplicates_and_off_looks_at_nothing(write, launch):
    write(ROW, ROW)
    assert "[duplicate]" not in launch("data.check=errors").stderr
    write(BAD)
    assert launch("data.check=errors").returncode == 1
    done = launch("data.check=off")
    assert (done.returncode, done.stderr) == (0, "")


def test_several_sources_are_each_checked_and_stand_in_the_plan(write, launch, tmp_path):
    write(ROW, name="a.jsonl")
    write({"instruction": "x", "output": "y"}, name="b.jsonl")
    done = launch("data.path=null", "data.sources=[{path:a.jsonl,weight:2},{path:b.jsonl,format:alpaca}]")
    assert done.returncode == 0, done.stderr
    run = run_of(done)
    facts = json.loads(run.plan.read_text())["facts"]
    assert facts["data_sources"] == [f"{tmp_path}/a.jsonl", f"{tmp_path}/b.jsonl"]
    assert [report["formats"] for report in json.loads(run.data_check.read_text())] == [
        {"messages": 1},
        {"alpaca": 1},
    ]
    write(BAD, name="b.jsonl")
    assert (
        "b.jsonl, line 1" in launch("data.path=null", "data.sources=[{path:a.jsonl},{path:b.jsonl}]").stderr
    )


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.path=null"], "data.path has no value"),
        (["data.sources=[{path:train.jsonl}]"], "add data.path=null"),
        (
            ["data.path=null", "data.sources=[{path:train.jsonl,weight:0}]"],
            "data.sources[0].weight=0 must be above 0",
        ),
        (["data.path=null", "data.sources=[{path:train.jsonl},{path:no.jsonl}]"], "data.sources[1].path="),
        (["data.path='hub:a b'"], "is not the name of a hub data set"),
        (["data.format=alpacca"], "data.format=alpacca must be one of auto, "),
    ],
)
def test_invalid_keys_of_the_data_group_are_refused_in_one_line(
    write, launch, overrides: list[str], said: str
):
    write(ROW)
    done = launch(*overrides)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_hub_data_set_is_one_warning_and_stays_a_name(write, launch):
    done = launch("data.path=hub:owner/name:train")
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "so its rows are not checked before" in done.stderr
    assert json.loads(run_of(done).plan.read_text())["facts"]["data_path"] == "hub:owner/name:train"


def test_the_outcome_for_a_large_file_is_kept_until_the_file_changes(write, launch, tmp_path):
    answer = {"role": "assistant", "content": "Good evening. " * 8000}
    long = {"messages": [ROW["messages"][0], answer]}
    path = write(*[long] * (1 + KEPT_FROM // len(json.dumps(long))))
    assert path.stat().st_size >= KEPT_FROM
    assert launch(f"cache_dir={tmp_path}/cache").returncode == 0
    (kept,) = (tmp_path / "cache" / "data_checks").iterdir()
    first = json.loads(kept.read_text())
    kept.write_text(json.dumps({**first, "rows": 77}))
    done = launch(f"cache_dir={tmp_path}/cache")
    assert json.loads(run_of(done).data_check.read_text())[0]["rows"] == 77
    with path.open("a") as file:
        file.write(json.dumps(BAD))
    done = launch(f"cache_dir={tmp_path}/cache")
    assert done.returncode == 1
    assert f"line {first['rows'] + 1}" in done.stderr


def test_the_outcome_for_a_small_file_is_kept_by_its_content(write, launch, tmp_path):
    path = write(ROW)
    kept = tmp_path / "cache" / "data_checks"
    assert launch(f"cache_dir={tmp_path}/cache").returncode == 0
    (first,) = kept.iterdir()
    first.write_text(first.read_text().replace('"rows": 1,', '"rows": 77,'))
    os.utime(path, (0, 0))
    done = launch(f"cache_dir={tmp_path}/cache")
    assert json.loads(run_of(done).data_check.read_text())[0]["rows"] == 77
    stamp = path.stat()
    path.write_text(json.dumps(BAD)[: stamp.st_size].ljust(stamp.st_size))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert launch(f"cache_dir={tmp_path}/cache").returncode == 1


def test_a_small_files_launch_imports_no_numpy(write):
    write(*[ROW] * 200)
    run = "import sys; from launcher.__main__ import main; code = main(sys.argv[1:]); print(code, 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", run, *TINY, "data.path=train.jsonl", "dry_run=true", "--json"],
        env={**os.environ, "PYTHONPATH": str(Path(gate.__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "0 False"


def test_a_source_without_a_path_is_refused(write, compose):
    with pytest.raises(ConfigError, match="has no value"):
        data_paths(compose(*TINY, "data.path=null"))


def test_the_files_of_a_folder_are_fixed_at_the_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "rows"
    folder.mkdir()
    for name in ("b", "a"):
        (folder / f"{name}.jsonl").write_text(
            f'{{"text": "The {name} of a tide is told by its bell."}}\n' * 4
        )
    assert (
        main(
            [
                "+experiment=tiny",
                "cluster=slurm",
                f"data.path={folder}",
                "data.eval_path=null",
                "dry_run=true",
            ]
        )
        == 0
    )
    run = next(Path("runs/tiny").iterdir())
    planned = json.loads((run / "plan.json").read_text())["facts"]
    files = [f"{folder}/a.jsonl", f"{folder}/b.jsonl"]
    assert planned["data_files"] == {str(folder): files}
    (folder / "c.jsonl").write_text('{"text": "Too late."}\n')
    decided = read_run(RunDir(run.absolute()))
    assert files_of(data_paths(decided.config), RunDir(run.absolute())) == {str(folder): tuple(files)}
    fix_files(decided.plan.facts.data_files)
    try:
        assert len(list(read_rows(folder))) == 8
    finally:
        fix_files({})
    assert len(list(read_rows(folder))) == 9
