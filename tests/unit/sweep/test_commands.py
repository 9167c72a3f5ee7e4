"""Sweeps as a person types them, with a fake sbatch on PATH."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.errors import Exit
from launcher.sweep.claims import Worker, claim, note, read_claims
from launcher.sweep.folder import SweepDir
from launcher.sweep.outcome import keep
from launcher.sweep.read import read_sweep
from launcher.sweep.resume_sweep import reopen
from tests.support import preloaded
from tests.support.hub import serve
from tests.support.shapes import check_printed

Cli = Callable[..., subprocess.CompletedProcess[str]]
FAKES = {
    "sbatch": 'echo "$@" >> "$CALLS"\n[ -z "${REFUSE:-}" ] || { echo "sbatch: error: no" >&2; exit 1; }\n'
    'echo $(( 100 + $(wc -l < "$CALLS") ))',
    "squeue": "true",
    "scancel": 'echo "cancel $@" >> "$CALLS"',
    "scontrol": 'echo "MaxArraySize = ${LARGEST:-1001}"',
    "sacct": "true",
}
GRID = (
    "-m",
    "+experiment=tiny",
    "cluster=slurm",
    "data.check=off",
    "seed=1,2,3",
    "plugins.lora.r=2,4",
    "--json",
)
SEARCH = (
    "-m", "+experiment=tiny", "cluster=slurm", "data.check=off", "trainer.learning_rate=tag(log,interval(1e-4,1e-2))",
    "trainer.eval_steps=2", "--json",
)  # fmt: skip


def settings(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8", "CALLS": str(tmp_path / "calls"),
    }  # fmt: skip


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "bin").mkdir()
    for name, lines in FAKES.items():
        fake = tmp_path / "bin" / name
        fake.write_text(f"#!/bin/sh\n{lines}\n")
        fake.chmod(0o755)

    def cli(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        done = preloaded.run(arguments, tmp_path, {**settings(tmp_path), **more}, timeout_s=120)  # fmt: skip
        if "--json" in arguments:
            check_printed(arguments, done.stdout)
        return done

    return cli


def calls(tmp_path: Path) -> list[str]:
    path = tmp_path / "calls"
    return path.read_text().splitlines() if path.exists() else []


def sweep_of(done: subprocess.CompletedProcess[str]) -> SweepDir:
    assert done.returncode == 0, done.stderr
    return SweepDir(Path(json.loads(done.stdout)["sweep_dir"]))


def finish(
    sweep: SweepDir, number: int, state: str, value: float | None = None, error: str | None = None
) -> None:
    """Writes the files of a trial as a worker does."""
    assert claim(sweep, number, Worker(task=f"101_{number}", host="h", pid=1, started=1))
    outcome = {
        "state": state, "value": value, "intermediate": {"8": value} if value else {}, "error": error,
        "started": "2026-11-25T00:00:00+00:00", "ended": "2026-11-25T00:00:09+00:00", "gpu_s": 9.0,
    }  # fmt: skip
    keep(sweep, number, outcome)


def test_a_sweep_is_one_folder_one_script_and_one_array(cli, tmp_path):
    done = cli(*GRID, "sweep.parallel=2")
    sweep = sweep_of(done)
    assert calls(tmp_path) == [f"--parsable {sweep.path}/job.sbatch"]
    assert "#SBATCH --array=0-5%2\n" in (sweep.path / "job.sbatch").read_text()
    told = json.loads(done.stdout)
    assert (told["trials"], told["job_ids"]) == (6, ["101"])
    now = read_sweep(sweep.path)
    assert now.parameters == ["seed", "plugins.lora.r"]
    assert [trial.overrides for trial in now.trials][:2] == [
        {"seed": "1", "plugins.lora.r": "2"},
        {"seed": "1", "plugins.lora.r": "4"},
    ]
    assert {trial.state for trial in now.trials} == {"waiting"}


def test_a_bad_trial_is_named_and_nothing_is_submitted_or_written(cli, tmp_path):
    done = cli(*GRID, "trainer.learning_rate=1e-3,-1")
    assert done.returncode == 1
    assert re.fullmatch(
        r"launcher: trial 1 \(seed=1 plugins\.lora\.r=2 trainer\.learning_rate=-1\): trainer\.learning_rate=-1\S* must "
        r"[^\n]*\n",
        done.stderr,
    )
    assert not calls(tmp_path)
    assert not (tmp_path / "runs").exists()


def test_a_value_of_the_wrong_type_names_its_trial(cli, tmp_path):
    done = cli(*GRID, "trainer.max_steps=3,many")
    assert done.returncode == 1
    assert re.fullmatch(
        r"launcher: trial 1 \([^\n]*\): trainer\.max_steps=many must be a whole number\n", done.stderr
    )
    assert not calls(tmp_path)


def test_a_secret_among_hydras_own_overrides_is_refused_and_not_repeated(cli, tmp_path):
    done = cli(*GRID, "+hydra.job.env_set.HF_TOKEN=hf_neverwritten", HF_TOKEN="hf_neverwritten")
    assert done.returncode == 1
    assert done.stderr.startswith("launcher: the configuration contains the value of HF_TOKEN")
    assert "hf_neverwritten" not in done.stderr
    assert not calls(tmp_path) and not (tmp_path / "runs").exists()


def test_what_the_hub_refuses_is_refused_before_anything_is_queued(cli, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    typed = (*GRID, "model.init=pretrained")
    with serve({("model", "me/tiny"): tmp_path / "model"}) as hub:
        done = cli(*typed, "model.name_or_path=me/tiny,me/tinny", HF_ENDPOINT=hub.endpoint)
        assert done.returncode == 1
        assert re.fullmatch(
            r"launcher: trial 1 \(seed=1 plugins\.lora\.r=2 model\.name_or_path=me/tinny\): model\.name_or_path=me/tinny: "
            r"the hub says RepoNotFound; [^\n]*\n",
            done.stderr,
        )
        assert not calls(tmp_path) and not (tmp_path / "runs").exists()
        hub.requests.clear()
        sweep = sweep_of(cli(*typed, "model.name_or_path=me/tiny", HF_ENDPOINT=hub.endpoint))
        assert hub.requests == ["HEAD /me/tiny/resolve/main/config.json"]  # once for all six trials
        more = cli("sweep", "extend", sweep.name, "seed=4", HF_ENDPOINT="http://127.0.0.1:9")
        assert "127.0.0.1:9 does not answer here" in more.stderr


def test_more_trials_than_an_array_holds_wait_for_each_other(cli, tmp_path):
    sweep = sweep_of(cli(*GRID, "sweep.parallel=2", LARGEST="4"))
    assert calls(tmp_path) == [
        f"--parsable {sweep.path}/job.sbatch",
        f"--parsable --dependency=afterany:101 {sweep.path}/job_1.sbatch",
    ]
    assert (sweep.path / "job_1.sbatch").read_text().splitlines()[-1].endswith("--first 4")


def test_a_refused_array_leaves_nothing(cli, tmp_path):
    done = cli(*GRID, "trainer.max_steps=10", REFUSE="1")
    assert done.returncode == 1
    assert done.stderr.startswith("launcher: sbatch refused")
    assert not list(tmp_path.glob("runs/tiny/*"))


def test_a_search_needs_an_end_a_space_and_reports(cli):
    for more, said in (
        (("sweep.sampler=tpe",), "sweep.sampler=tpe would never end"),
        ((), "trainer.learning_rate is an interval"),
        (
            ("sweep.sampler=tpe", "sweep.trials=4", "data.eval_path=null", "trainer.eval_steps=null"),
            "sweep.objective=eval_loss",
        ),
        (("sweep.sampler=tpe", "sweep.trials=4", "sweep.pruner=asha", "trainer.eval_steps=null"), "sweep.pruner=asha"),
        (("sweep.sampler=tep",), "sweep.sampler=tep must be one of grid, random, tpe"),
        (("sweep.sampler=tpe", "sweep.trials=4", "resources.nodes=1,2"), "--nodes=2"),
    ):  # fmt: skip
        done = cli(*SEARCH, *more)
        assert done.returncode == 1, done
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_grid_without_an_evaluation_says_that_no_trial_is_the_best(cli):
    said = "warning: sweep.objective=eval_loss is never reported: data.eval_path is null, so no trial is the best one; "
    without = cli(*GRID, "data.eval_path=null", "trainer.eval_steps=null", "dry_run=true")
    assert (without.returncode, without.stderr.count(said)) == (0, 1), without.stderr
    for more in (("sweep.objective=loss", "data.eval_path=null", "trainer.eval_steps=null"), ()):
        assert said not in cli(*GRID, *more, "dry_run=true").stderr


def test_a_grid_is_not_cut_to_a_number_of_trials(cli):
    done = cli(*GRID, "sweep.trials=2")
    assert done.returncode == 1
    assert re.fullmatch(
        r"launcher: sweep\.trials=2 [^\n]*sweep\.sampler=grid[^\n]* sweep\.trials=null[^\n]*\n", done.stderr
    )


def test_a_search_queues_workers_and_no_trials(cli):
    sweep = sweep_of(
        cli(*SEARCH, "sweep.sampler=tpe", "sweep.pruner=asha", "sweep.trials=24", "sweep.parallel=3")
    )
    assert "#SBATCH --array=0-2\n" in (sweep.path / "job.sbatch").read_text()
    spec = sweep.read_spec()
    assert spec["space"]["trainer.learning_rate"] | {"step": None} == spec["space"]["trainer.learning_rate"]
    assert (spec["first_report"], spec["trials"]) == (2, 0)
    assert read_sweep(sweep.path).trials == []


def test_a_search_space_comes_from_a_file_too(cli, tmp_path):
    (tmp_path / "site" / "sweep").mkdir(parents=True)
    (tmp_path / "site" / "sweep" / "rates.yaml").write_text(
        "defaults: [schema, _self_]\nsearch:\n  trainer.learning_rate: [1.0e-4, 1.0e-3]\n  plugins.lora.r: choice(2,4,8)\n"
    )
    typed = (
        "--config-dir",
        str(tmp_path / "site"),
        "+experiment=tiny",
        "cluster=slurm",
        "data.check=off",
        "+sweep=rates",
    )
    sweep = sweep_of(cli("-m", *typed, "--json"))
    assert len(read_sweep(sweep.path).trials) == 6
    refused = cli(*typed)
    assert refused.returncode == 1
    assert "put -m in front" in refused.stderr


def test_status_shows_failed_trials_first_with_their_error(cli):
    sweep = sweep_of(cli(*GRID))
    finish(sweep, 0, "finished", 2.5)
    finish(sweep, 1, "finished", 2.25)
    finish(sweep, 2, "failed", error="rank 0 on h: OutOfMemoryError")
    finish(sweep, 3, "pruned")
    told = json.loads(cli("sweep", "status", "tiny", "--json").stdout)
    assert told["counts"] == {
        "waiting": 2,
        "running": 0,
        "finished": 2,
        "pruned": 1,
        "failed": 1,
        "cancelled": 0,
    }
    assert told["best"] == 1
    shown = cli("sweep", "status").stdout
    assert "rank 0 on h: OutOfMemoryError" in shown
    table = shown[shown.index("OutOfMemoryError") :]
    assert table.index("2.2500") < table.index("2.5000")


def test_a_watch_ends_with_a_search_whose_budget_is_spent(cli):
    sweep = sweep_of(cli(*SEARCH, "sweep.sampler=random", "sweep.trials=2"))
    finish(sweep, 0, "finished", 2.5)
    finish(sweep, 1, "pruned")
    assert "1 finished" in cli("sweep", "status", "tiny", "--watch").stdout


def test_a_value_in_brackets_is_shown_as_it_was_typed(cli):
    sweep_of(
        cli("-m", "+experiment=tiny", "cluster=slurm", "data.check=off", "plugin=[lora],[qlora]", "--json")
    )
    shown = cli("sweep", "status", "tiny").stdout
    assert "[lora]" in shown and "[qlora]" in shown


def test_resume_queues_what_failed_and_only_that(cli, tmp_path):
    sweep = sweep_of(cli(*GRID))
    for number in range(5):
        finish(sweep, number, "failed" if number in (1, 4) else "finished", 1.0)
    assert json.loads(cli("sweep", "resume", "--only-failed", "--json").stdout)["trials"] == [1, 4]
    assert calls(tmp_path)[1:] == [f"--parsable --array=1,4 {sweep.path}/job.sbatch"]
    assert [trial.number for trial in read_sweep(sweep.path).trials if trial.state == "waiting"] == [1, 4, 5]
    nothing = cli("sweep", "resume", "--only-failed")
    assert nothing.returncode == 1
    assert "nothing to resume" in nothing.stderr


def test_extend_adds_the_new_combinations_alone(cli, tmp_path):
    sweep = sweep_of(cli(*GRID))
    done = cli("sweep", "extend", "tiny", "seed=3,4", "--json")
    assert json.loads(done.stdout)["trials"] == 2, done.stderr
    now = read_sweep(sweep.path)
    assert [trial.overrides for trial in now.trials[6:]] == [
        {"seed": "4", "plugins.lora.r": "2"},
        {"seed": "4", "plugins.lora.r": "4"},
    ]
    assert calls(tmp_path)[1:] == [f"--parsable {sweep.path}/job_1.sbatch"]
    assert "#SBATCH --array=6-7\n" in (sweep.path / "job_1.sbatch").read_text()
    again = cli("sweep", "extend", "tiny", "seed=4", "--json")
    assert json.loads(again.stdout)["trials"] == 0
    assert len(calls(tmp_path)) == 2
    for number in range(8):
        (sweep.outcomes / f"{number}.json").write_text(json.dumps({"state": "finished", "intermediate": {}}))
    nothing = cli("sweep", "extend", "tiny", "seed=4", "--json")
    assert nothing.returncode == 1 and "seed=4 adds no trial: " in nothing.stderr
    unknown = cli("sweep", "extend", "tiny", "sed=4")
    assert unknown.returncode == 1
    assert "did you mean seed?" in unknown.stderr


def test_extend_gives_a_search_more_budget_and_workers(cli, tmp_path):
    sweep = sweep_of(cli(*SEARCH, "sweep.sampler=random", "sweep.trials=2", "sweep.parallel=2"))
    assert cli("sweep", "extend", "tiny", "sweep.trials=5").returncode == 0
    assert sweep.read_spec()["budget"]["trials"] == 5
    assert calls(tmp_path)[1:] == [f"--parsable --array=0-1 {sweep.path}/job.sbatch"]


def test_cancel_ends_the_arrays_and_keeps_others_from_beginning(cli, tmp_path):
    sweep = sweep_of(cli(*GRID))
    (tmp_path / "bin" / "squeue").write_text(f'#!/bin/sh\necho "101|{sweep.path}|launcher:{sweep.path}"\n')
    assert json.loads(cli("sweep", "cancel", "--json").stdout)["cancelled"] == ["101"]
    assert calls(tmp_path)[-1] == "cancel 101"
    assert sweep.stop.exists()


def start_here(
    tmp_path: Path, script: str, *typed: str, place: str = "local", **more: str
) -> "subprocess.Popen[bytes]":
    """A sweep on this machine, whose trials have a shell script instead of the supervisor."""
    supervisor = tmp_path / "bin" / "supervisor"
    supervisor.write_text(f"#!/bin/bash\n{script}\n")
    supervisor.chmod(0o755)
    here = [word.replace("cluster=slurm", f"cluster={place}") for word in typed]
    return subprocess.Popen(
        [sys.executable, "-m", "launcher", *here, f"cluster.python={supervisor}"],
        cwd=tmp_path,
        env={**settings(tmp_path), **more},
    )


def began(tmp_path: Path, sweeping: "subprocess.Popen[bytes]", number: int) -> SweepDir:
    """The sweep, once the script of that trial has made the file `began`."""
    deadline = time.monotonic() + 60
    while not (found := list(tmp_path.glob(f"runs/tiny/sweep_*/{number}/began"))):
        assert sweeping.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    return SweepDir(found[0].parent.parent)


def test_a_grid_begins_no_trial_once_its_budget_is_spent_and_continues_with_more(tmp_path, cli):
    """Each trial says that it held its one rank for two hours."""
    lines = [
        json.dumps({"time": f"2026-11-25T0{hour}:00:00+00:00", "event": event, "attempt": 1})
        for hour, event in ((1, "started"), (3, "finished"))
    ]
    says = f"printf '%s\\n' '{lines[0]}' '{lines[1]}' >> events.jsonl"
    sweeping = start_here(tmp_path, says, *GRID, "resources.device=cpu", "sweep.gpu_hours=3")
    assert sweeping.wait(timeout=60) == Exit.FAILED
    (found,) = tmp_path.glob("runs/tiny/sweep_*")
    trials = read_sweep(found).trials
    assert [trial.state for trial in trials] == ["finished"] * 2 + ["cancelled"] * 4
    assert (trials[2].error or "").startswith(
        "sweep.gpu_hours=3 are used up (4 hours); raise it with python -m launcher sweep extend"
    )
    SweepDir(found).trial(2).path.mkdir()  # begun by a worker that was cut
    assert cli("sweep", "resume").returncode == Exit.FAILED
    assert [trial.state for trial in read_sweep(found).trials] == ["finished"] * 3 + ["cancelled"] * 3
    mixed = cli("sweep", "extend", "tiny", "sweep.gpu_hours=99", "seed=4")
    assert "in a separate command" in mixed.stderr
    assert cli("sweep", "extend", "tiny", "sweep.gpu_hours=99").returncode == 0
    assert [trial.state for trial in read_sweep(found).trials] == ["finished"] * 6


@pytest.mark.usefixtures("cli")
def test_a_searchs_worker_takes_a_trial_that_was_opened_again_behind_it(tmp_path):
    wait = "touch began; [[ $PWD == */0 ]] || until [ -e go ]; do sleep 0.1; done"
    sweeping = start_here(
        tmp_path, wait, *SEARCH, "sweep.sampler=random", "sweep.trials=2", "sweep.parallel=1"
    )
    try:
        sweep = began(tmp_path, sweeping, 1)
        reopen(sweep, [0])
        (sweep.trial(1).path / "go").touch()
        sweeping.wait(timeout=60)
    finally:
        sweeping.kill()
    assert [trial.state for trial in read_sweep(sweep.path).trials] == ["failed", "failed"]
    assert (sweep.outcomes / "earlier" / "0.0.json").exists()


def test_a_sweep_whose_allocation_is_queued_again_continues_in_its_folder(tmp_path, cli):
    """The job of slurm/launch.sbatch, here a task of an array that is not the sweep's, loses its node under trial 1."""
    script = "echo one >> tries; [[ $PWD != */1 || -e ../lost ]] || { touch began; exec sleep 100; }"
    job = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1"}
    job |= {"SLURM_ARRAY_JOB_ID": "6", "SLURM_ARRAY_TASK_ID": "5"}
    sweeping = start_here(tmp_path, script, *GRID, place="allocation", **job)
    try:
        sweep = began(tmp_path, sweeping, 1)
    finally:
        sweeping.kill()
        sweeping.wait()
    worker = read_claims(sweep)[1]["worker"]
    note(sweep, 1, worker={**worker, "host": "the_lost_one"})
    (sweep.path / "lost").touch()
    again = start_here(tmp_path, script, *GRID, place="allocation", **job, SLURM_RESTART_COUNT="1")
    try:
        assert again.wait(timeout=60) == Exit.FAILED  # the script leaves no word of how a trial ended
    finally:
        again.kill()
    assert [SweepDir(path) for path in tmp_path.glob("runs/tiny/*")] == [sweep]
    tries = [(sweep.trial(number).path / "tries").read_text().count("one") for number in range(6)]
    assert tries == [1, 2, 1, 1, 1, 1]
    assert all(trial.ended for trial in read_sweep(sweep.path).trials)
    outside = cli("sweep", "resume")
    assert (outside.returncode, outside.stderr.count("\n")) == (Exit.REFUSED, 1)
    assert "start it from salloc" in outside.stderr
    assert all(trial.ended for trial in read_sweep(sweep.path).trials)  # none was opened again


def test_cancel_on_this_machine_tells_a_trial_once_and_begins_no_other(cli, tmp_path):
    """The trial's supervisor is a program that records the signals that it gets, and ends slowly."""
    slow = "trap 'echo term >> told; n=7' TERM; touch began; for ((n = 200; n > 0; n--)); do sleep 0.3; done"
    sweeping = start_here(tmp_path, slow, *GRID)
    try:
        sweep = began(tmp_path, sweeping, 0)
        cancelled = cli("sweep", "cancel", "--json")
        assert sweeping.wait(timeout=60) == Exit.FAILED
    finally:
        sweeping.kill()
    assert (sweep.trial(0).path / "told").read_text() == "term\n"
    assert json.loads(cancelled.stdout)["cancelled"] == ["0"]
    assert not sweep.trial(1).path.exists()


def test_an_unknown_command_names_the_nearest(cli):
    done = cli("sweep", "statsu")
    assert done.returncode == 2
    assert "did you mean status?" in done.stderr
    assert "sweep resume" in cli("sweep", "resume", "--help").stdout
    assert cli("sweep", "status", "nothing").returncode == 1


def test_workers_import_neither_optuna_nor_torch_for_a_grid(cli, tmp_path):
    sweep_of(cli(*GRID))
    blocked = "import sys; sys.modules.update(optuna=None, torch=None)\nfrom launcher.__main__ import main\n"
    for typed in (["sweep", "status", "--json"], ["sweep", "resume", "--only-failed"]):
        done = subprocess.run(
            [sys.executable, "-c", f"{blocked}sys.exit(main({typed!r}))"], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls")},
        )  # fmt: skip
        assert "ImportError" not in done.stderr and "Traceback" not in done.stderr, done.stderr
