"""Code that is edited while a job waits in the queue of a real cluster."""

import pytest

from tests.support.runs import command

pytestmark = [pytest.mark.slurm, pytest.mark.long]

PLUGIN = """
import dataclasses
from launcher.plugins.base import Plugin
@dataclasses.dataclass(frozen=True)
class Mine(Plugin):
    def on_trainer(self, trainer):
        print("this is the first version", flush=True)
        return trainer
"""


def test_a_plugin_edited_while_its_job_waits_changes_nothing(submitted, lab, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    run = submitted("+cluster.sbatch.hold=true", "trainer.max_steps=2", "+plugins.mine._target_=mine.Mine")
    (tmp_path / "mine.py").write_text("this is no Python any more (")
    lab.run("scontrol", "release", lab.job(run), cwd=tmp_path)
    lab.wait(run, "finished")
    assert "this is the first version" in run.logs()
    done = lab.run(*command("reproduce", str(run.path), "dry_run=true"), cwd=tmp_path)
    assert "starts again as a new run, with the code of its launch" in done.stderr
