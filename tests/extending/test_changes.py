"""The changes of CONTRIBUTING.md, each made in a copy of the tree: it works, and touches as few modules as its table says."""

import json
import sys
from pathlib import Path

from tests.extending.test_cluster import PLACE, TOY, Site
from tests.extending.test_format import FORMAT, QUIZ
from tests.extending.test_method import SCALED
from tests.extending.test_tracker import TRACKER
from tests.extending.tree import check_count, contributing_rows
from tests.support.paths import ROOT

MOST = {
    "a training method": 3,
    "a degree of parallelism": 4,
    "a scheduler": 1,
    "a row format": 1,
    "a verb": 1,
    "a memory term": 2,
    "a fault rule": 2,
    "a tracker": 1,
}
"""The change -> the most modules of launcher/ that it may touch."""


def test_the_table_lists_every_change_within_its_limit_and_a_test_that_exists():
    rows = contributing_rows()
    assert list(rows) == list(MOST)
    for what, row in rows.items():
        assert row.count <= MOST[what], what
        assert (ROOT / row.test).is_file(), row.test


def test_a_training_method(tree):
    spec, ranks = SCALED.split("\n\ndef arguments():")
    tree.add(
        "launcher/methods/scaled.py",
        spec.replace("module=__name__", 'module="launcher.train.methods.scaled"'),
    )
    head = '"""The scaled trainer on the ranks."""\n\nfrom launcher.methods.scaled import SPEC\n\n\ndef arguments():'
    tree.add("launcher/train/methods/scaled.py", head + ranks)
    tree.add("conf/trainer/scaled.yaml", "defaults: [schema, _self_]\nkind: scaled\nbeta: 3.0\n")
    plan = tree.call("plan", "+experiment=tiny", "cluster=local", "trainer=scaled")
    assert plan.returncode == 0, plan.stderr
    assert "scaled" in plan.stdout and " chats per step = " in plan.stdout
    typed = ("+experiment=tiny", "cluster=local", "trainer=scaled")
    assert "trainer.beta=11.0 must be above 0 and at most 10" in tree.refusal(
        "plan", *typed, "trainer.beta=11"
    )
    assert "unknown option of scaled 'shfit'; did you mean shift?" in tree.refusal(
        "plan", *typed, "trainer.options.shfit=1"
    )
    run = Path(tree.read(*typed, "dry_run=true", "--json")["run_dir"])
    assert json.loads((run / "plan.json").read_text())["trainer"] == "scaled"
    check_count("a training method", tree)


def test_a_scheduler(tree):
    tree.add("launcher/clusters/toy.py", TOY.lstrip())
    site = Site(tree.work, tree.root)
    dry = json.loads(site.call("+experiment=tiny", *PLACE, "dry_run=true", "--json").stdout)
    assert dry["command"] == f"toysub {dry['run_dir']}/job.sbatch"
    assert f"#TOY folder={dry['run_dir']}\n" in Path(dry["run_dir"], "job.sbatch").read_text()
    assert not list(site.queue.iterdir())
    (site.queue / "hold").touch()
    run, job_id = site.launch(*PLACE)
    assert job_id and site.state() == "pending"
    assert site.call("cancel", run.path.as_posix()).returncode == 0
    assert site.state() == "cancelled"
    check_count("a scheduler", tree)


def test_a_row_format(tree):
    tree.add("launcher/formats/quiz.py", f'"""quiz: a question and its answer."""\n{FORMAT}')
    (tree.work / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUIZ))
    report = tree.read("data", "check", "quiz.jsonl", "--json")
    assert report["formats"] == {"quiz": 60} and report["errors"] == 0
    for source, target, to in (
        ("quiz.jsonl", "chats.jsonl", "messages"),
        ("chats.jsonl", "back.jsonl", "quiz"),
    ):
        done = tree.call("data", "convert", source, target, "--to", to)
        assert done.returncode == 0, done.stderr
    back = [json.loads(line) for line in (tree.work / "back.jsonl").read_text().splitlines()]
    assert back == QUIZ
    check_count("a row format", tree)


VERB = '''
"""python -m launcher newest: the name of the newest run."""

import argparse
import json

from launcher.cli.verb import Verb
from launcher.errors import Exit
from launcher.run import find_run


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    name = find_run(options.runs_dir.absolute(), None).name
    print(json.dumps({"run": name}) if options.json else name)
    return Exit.OK


VERB = Verb(line="name the newest run", example="newest --json", run=_run, group="runs")
'''


def test_a_verb(tree):
    tree.add("launcher/commands/newest.py", VERB)
    assert "name the newest run" in tree.call("help").stdout
    assert "example: python -m launcher newest --json" in tree.call("newest", "--help").stdout
    assert tree.refusal("newest").startswith("launcher: ")
    run = Path(tree.read("+experiment=tiny", "cluster=local", "dry_run=true", "--json")["run_dir"])
    assert run.name in tree.read("newest", "--json")["run"]
    check_count("a verb", tree)


DIARY = """
    environment = (Variable(name="DIARY", meaning="The file to send to.", set_by="a person", read_by="sync"),)
    says = """


def test_a_tracker(tree):
    body = TRACKER.replace("\n    says = ", DIARY).replace(
        "from launcher.packages", "from launcher.environment import Variable\nfrom launcher.packages"
    )
    tree.add("launcher/trackers/diary.py", f'"""diary: a file in the run dir."""\n{body}')
    tree.add("conf/tracker/diary.yaml", "defaults: [schema, _self_]\nkind: diary\n")
    typed = ("+experiment=tiny", "cluster=local", "tracker=diary", "--json")
    assert "pip install my-diary" in tree.refusal(*typed)
    package = tree.work / "site"
    package.mkdir()
    (package / "my_diary.py").touch()
    run = Path(tree.read(*typed, "dry_run=true", PYTHONPATH=str(package))["run_dir"])
    assert "kind: diary" in (run / "config.yaml").read_text()
    pages = tree.work / "reference"
    assert tree.run(sys.executable, "-m", "launcher.reference", str(pages)).returncode == 0
    assert "| `DIARY` | The file to send to. |" in (pages / "environment.md").read_text()
    check_count("a tracker", tree)
