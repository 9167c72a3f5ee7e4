"""Every verb's --json prints what the verb declares: its fields, no others, and of the declared types."""

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import pytest

from launcher.__main__ import main
from launcher.cli.verb import all_verbs
from launcher.reference.shapes import alternatives, undocumented
from launcher.run import RunDir, append_line
from launcher.sweep.folder import SweepDir
from launcher.sweep.outcome import keep
from tests.support.openai_server import KEY, openai_server
from tests.support.reports import fill_run
from tests.support.shapes import check_printed, differences, documents

VERBS = all_verbs()
LAUNCH = "+experiment=tiny cluster=local dry_run=true data.check=off"
PLAN = "+experiment=tiny cluster=local"
LARGE = "+experiment=llama8b_lora cluster=slurm"
MEASURED = {
    "event": "measured", "attempt": 3, "step": 290, "step_s": 2.0, "host_gib_by_rank": [1.5], "steps": 10,
    "time": "2026-03-01T08:20:00.000+00:00",
}  # fmt: skip
OUTCOME = {
    "state": "finished", "value": 0.5, "intermediate": {"8": 0.5}, "error": None, "gpu_s": 9.0,
    "started": "2026-11-25T00:00:00+00:00", "ended": "2026-11-25T00:00:09+00:00",
}  # fmt: skip
COMMANDS = (
    f"launch {LAUNCH}",
    f"launch -m {LAUNCH} seed=1,2",
    f"plan {PLAN}",
    f"plan {LARGE}",
    f"plan --explain {LARGE}",
    f"plan --explain {PLAN}",
    f"plan --sweep {PLAN} seed=1,2",
    f"fetch {PLAN}",
    "status {run}",
    "list",
    "follow {run}",
    "logs {run}",
    "checkpoints {run}",
    "cancel {run}",
    "calibrate {run}",
    "report {run}",
    "report {sweep}",
    "sync {run}",
    "stale {run}",
    "init --model tiny --data {data} -o {folder}/mine.yaml",
    "remove --planned --yes --runs-dir {folder}/none",
    "remove --code --yes --runs-dir {folder}/none --cache-dir {folder}/none",
    "remove --sent {folder}/cluster --yes",
    "convert-recipe {folder}/recipe.yml -o {folder}/converted.yaml",
    "list --planned",
    "rules",
    "help",
    "data check {data}",
    "data check {data} --eval {data}",
    "data convert {data} {folder}/out.jsonl --to messages --force",
    "data rules",
    "sweep status {sweep}",
    "sweep best {sweep}",
    "sweep cancel {sweep}",
    "managed upload {data}",
    "managed create {data} --model m --price-per-million 3",
    "managed create {data} --model m --again --poll --every-s 0.01",
    "managed status",
    "managed poll --every-s 0.01",
    "managed list",
    "managed cancel ftjob-1",
    "api-keys add anna --data-dir {folder}/api",
    "api-keys rotate anna --data-dir {folder}/api",
    "api-keys list --data-dir {folder}/api",
    "api-keys revoke anna --data-dir {folder}/api",
    "no_such_verb",
)
ELSEWHERE = {
    "chat": "tests/training/test_after.py",
    "classify": "tests/training/test_classify.py",
    "evaluate": "tests/training/test_after.py",
    "export": "tests/training/test_after.py",
    "data tokenize": "tests/training/test_tokens_ahead.py",
    "data teach": "tests/training/test_distill.py",
    "push": "tests/unit/after/test_push.py",
    "rehearse": "tests/faults/test_rehearse.py",
    "serve": "tests/training/test_serve.py",
    "serve-api": "tests/unit/api/test_api.py",
    "site check": "tests/unit/clusters/test_site_probe.py",
    "site probe": "tests/unit/clusters/test_site_probe.py",
    "reproduce": "tests/unit/launching/freeze/test_freeze.py",
    "resume": "tests/unit/commands/test_resume_command.py",
    "sweep extend": "tests/unit/sweep/test_commands.py",
    "sweep resume": "tests/unit/sweep/test_commands.py",
    "sweep work": "prints nothing",
}
"""Verbs that need a training stack, a queue or a run that has ended early, by the test that holds them to their shape."""


@dataclass(frozen=True)
class Place:
    """A folder with a run, a sweep and a data file."""

    folder: Path
    run: RunDir
    sweep: SweepDir
    data: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    (folder / "bin").mkdir()
    (folder / "cluster" / "sent").mkdir(parents=True)
    before = Path.cwd()
    with openai_server() as provider, pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "PATH": str(folder / "bin"),
            "OPENAI_BASE_URL": provider.url,
            "OPENAI_API_KEY": KEY,
        }.items():
            patch.setenv(name, value)
        os.chdir(folder)
        data = folder / "train.jsonl"
        rows = [
            {"instruction": f"What is {number} and one?", "output": f"It is {number + 1}."}
            for number in range(12)
        ]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "recipe.yml").write_text(
            "base_model: someone/tiny\ndatasets:\n  - path: train.jsonl\n    type: alpaca\nmicro_batch_size: 2\n"
            "gradient_accumulation_steps: 2\nnum_epochs: 1\nlearning_rate: 0.0002\n"
        )
        assert main(shlex.split(f"launch {LAUNCH}")) == 0
        assert main(shlex.split(f"launch -m {LAUNCH} seed=1,2")) == 0
        (run,) = [RunDir(path.parent) for path in folder.glob("runs/*/2*/plan.json")]
        (sweep,) = [SweepDir(path.parent) for path in folder.glob("runs/*/*/sweep.json")]
        fill_run(run)
        append_line(run.path / "events.jsonl", MEASURED)
        run.note_job("local", "4194305")  # one above the highest process id that Linux gives
        (run.checkpoints / "step_00000100").mkdir(parents=True)
        keep(sweep, 0, OUTCOME)
        shutil.copytree(run.path, sweep.path / "0")
        yield Place(folder, run, sweep, data)
        os.chdir(before)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_verb_prints_what_it_declares(line: str, place: Place, capsys):
    words = [
        *shlex.split(line.format(**vars(place) | {"run": place.run.path, "sweep": place.sweep.path})),
        "--json",
    ]
    code = main(words)
    said = capsys.readouterr()
    found = documents(said.out)
    assert found, said.err
    assert line == "no_such_verb" or code not in (1, 2), said.err
    check_printed(words, said.out)


def test_every_verb_is_held_to_its_declaration_somewhere():
    tried = {name for name in VERBS for line in COMMANDS if line.split()[: len(name.split())] == name.split()}
    assert tried | set(ELSEWHERE) == set(VERBS), "add a command line to COMMANDS"


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_declares_what_it_prints(name: str):
    assert VERBS[name].printed is not None, "set `prints` in its Verb"
    assert not [
        field for shape in alternatives(VERBS[name].printed).values() for field in undocumented(shape)
    ]


class _Row(TypedDict):
    number: int
    share: float | None
    names: list[str]


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"number": 1, "share": 1, "names": ["a"]}, None),
        ({"number": 1, "share": None, "names": []}, None),
        ({"number": True, "share": None, "names": []}, ".number=True"),
        ({"number": 1.5, "share": None, "names": []}, ".number=1.5"),
        ({"number": 1, "names": []}, ".share is missing"),
        ({"number": 1, "share": "1", "names": []}, ".share="),
        ({"number": 1, "share": None, "names": [1]}, ".names[0]=1"),
        ({"number": 1, "share": None, "names": [], "more": 0}, ".more is not declared"),
        ([], "no object"),
    ],
)
def test_a_document_that_differs_from_its_declaration_is_found(value: object, wrong: str | None):
    found = list(differences(value, _Row))
    assert (not found) if wrong is None else wrong in found[0]
