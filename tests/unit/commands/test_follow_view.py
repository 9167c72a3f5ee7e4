"""What `follow` and a launch on this machine show while a run works."""

import io
import json
from pathlib import Path

from rich.console import Console

from launcher.run import RunDir
from launcher.run.events.ranks import Tokenizing, Training, Working
from launcher.run.events.results import Evaluated, Sample
from launcher.run.events.supervisor import Started
from launcher.run.metrics import Logged
from launcher.status.follow import View, next_commands


def test_every_long_step_is_told_where_there_is_no_terminal(tmp_path: Path):
    run, out = RunDir(tmp_path), io.StringIO()
    view = View(run, Console(file=out, width=200), all_of_it=True)
    facts = {name: 1 if kind is int else "x" for name, kind in Started.__annotations__.items()}
    run.add_event("started", attempt=1, **{name: facts[name] for name in Started.REQUIRED - {"attempt"}})
    run.note(Working(attempt=1, on="load"))
    run.note(Tokenizing(attempt=1, set="train"))
    run.note(Training(attempt=1, step=0, total_steps=2))
    run.note(Working(attempt=1, on="answer"))
    run.note(Sample(attempt=1, when="before", prompt="Why?", answer="Because."))
    run.note(Working(attempt=1, on="evaluate"))
    run.note(Evaluated(attempt=1, when="before", step=0, eval_loss=2.0))
    run.log(Logged(step=1, loss=1.5, total_steps=2))
    run.note(Working(attempt=1, on="export"))
    view.update()
    lines = out.getvalue().splitlines()
    assert [line for line in lines if not line.startswith("... starting")] == [
        "... loading the model",
        "... making the train tokens",
        "... answering trainer.sample_prompt",
        "question: Why?",
        "answer before: Because.",
        "... evaluating",
        "evaluation loss before training: 2.0000",
        "... writing the model, loading it back and comparing",
        "step 1/2  loss 1.500  0 tokens/s",
    ]


def test_what_follows_a_finished_run_names_that_run(tmp_path: Path):
    run = RunDir(tmp_path / "my_run" / "2026")
    run.path.mkdir(parents=True)
    plan = {"experiment": None, "trainer": "sft", "facts": {"data_path": "/data/mine.csv"}}
    run.plan.write_text(json.dumps(plan))
    assert [command.split()[3] for command in next_commands(run)] == ["status", "report", "chat"]
    run.plan.write_text(json.dumps({**plan, "trainer": "reward"}))
    assert [command.split()[3] for command in next_commands(run)] == ["status", "report"]
    shipped = str(Path("conf/data/quickstart/train.jsonl").absolute())
    run.plan.write_text(json.dumps({**plan, "experiment": "tiny", "facts": {"data_path": shipped}}))
    assert next_commands(run)[-1] == "python -m launcher +experiment=tiny data.path=your.jsonl"
