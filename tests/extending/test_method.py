"""A training method of another package: one module, and no line of this project is changed."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.extending.foreign import install
from tests.support import preloaded
from tests.support.runs import Finished, environment, launch

SCALED = '''
"""Supervised fine-tuning whose loss is scaled by trainer.beta."""

from launcher.methods.base import Key, Method
from launcher.methods.keys import PACKING, SAMPLE_PROMPT

SPEC = Method(
    title="scaled fine-tuning",
    about="Trains as sft does, with its loss times trainer.beta.",
    source="this test",
    module=__name__,
    learns_from=("chat",),
    keys=(
        PACKING,
        SAMPLE_PROMPT,
        Key(name="beta", holds=lambda value: 0 < value <= 10, rule="above 0 and at most 10", passed=False),
    ),
    options=(Key(name="shift", holds=lambda value: value >= 0, rule="a number of at least 0", default=0.0),),
    arguments=lambda config, accumulation: {"packing": False},
    unit="chats",
    extra_passes=lambda config: 1,
    figures=("scaled_by",),
)


def arguments():
    from trl import SFTConfig

    return SFTConfig


def make(parts):
    from launcher.train.methods import sft

    scale, shift = parts.config.trainer.beta or 1.0, SPEC.option(parts.config, "shift")

    class Scaled(sft.ResumableSFT):
        def compute_loss(self, *arguments, **options):
            return scale * super().compute_loss(*arguments, **options) + shift

        def log(self, logs, *arguments, **options):
            logs["scaled_by"] = scale
            super().log(logs, *arguments, **options)

    return sft.make(parts, Scaled)
'''
TYPED = ("trainer.kind=scaled", "trainer.beta=3")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The folder in which the package is installed."""
    return install(
        tmp_path / "site",
        "scaled",
        {"scaled_method": SCALED},
        {"launcher.methods": {"scaled": "scaled_method"}},
    )


def call(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, where the package is installed."""
    return preloaded.run(arguments, site.parent, environment(PYTHONPATH=str(site)))


def planned(site: Path, *typed: str) -> subprocess.CompletedProcess[str]:
    return call(site, "plan", "+experiment=tiny", "cluster=local", *typed)


def test_it_is_planned_by_its_spec(site):
    done = planned(site, *TYPED)
    assert done.returncode == 0, done.stderr
    assert "trainer" in done.stdout and "scaled" in done.stdout and " chats per step = " in done.stdout


def test_its_memory_is_estimated_and_its_further_forward_pass_takes_time(site):
    wide = ("plan", "+experiment=llama8b_lora", "cluster=local", "resources.device=cuda", "--json")
    told = [json.loads(call(site, *wide, *typed).stdout) for typed in ((), ("trainer.kind=scaled",))]
    assert told[0]["memory"] == told[1]["memory"]
    assert told[1]["time"]["compute_s"] > 1.2 * told[0]["time"]["compute_s"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("trainer.kind=scaled", "trainer.beta=11"), "trainer.beta=11.0 must be above 0 and at most 10"),
        (("trainer.kind=scaled", "trainer.epsilon=0.1"), "epsilon=0.1 is not used by trainer.kind=scaled, only by grpo"),
        (("trainer.beta=3",), "is not used by trainer.kind=sft, only by distill, dpo, grpo, kto, orpo, scaled;"),
        (("trainer.kind=scaled", "trainer.options.shift=-1"), "trainer.options.shift=-1 must be a number of at least 0"),
        (("trainer.kind=scaled", "trainer.options.shift=much"), "trainer.options.shift=much must be a number of at least 0"),
        (("trainer.kind=scaled", "trainer.options.shfit=1"), "unknown option of scaled 'shfit'; did you mean shift?"),
        (("trainer.options.shift=1",), "trainer.options.shift=1: trainer.kind=sft has no options; take it out"),
        (("trainer.kind=scald",), "trainer.kind=scald: unknown training method 'scald'; did you mean scaled?"),
        (("trainer.kind=scaled", "data.path=text.jsonl", "data.eval_path=null"), "trainer.kind=scaled learns from chats"),
    ],
)  # fmt: skip
def test_what_it_does_not_take_is_refused_in_one_line(site, typed, said):
    (site.parent / "text.jsonl").write_text(json.dumps({"text": "So it is."}))
    done = planned(site, *typed)
    assert done.returncode == 1
    assert said in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "def make(",
            "def build(",
            "its module scaled_method has no function make, which the ranks call; add it",
        ),
        ("module=__name__", 'module="scaled_ranks"', "there is no module scaled_ranks"),
        ("SPEC = ", "METHOD = ", "scaled_method has no Method named SPEC; add one"),
        ("import Key", "import Keys", "entry point scaled_method cannot be imported"),
        (
            "SPEC = Method(",
            "from launcher.methods.base import Draws\nSPEC = Method(draws=Draws(answers=len, tokens=len), ",
            "give the reason in not_estimated",
        ),
    ],
)
def test_a_missing_piece_is_named_before_anything_is_written(site, before, after, said):
    module = site / "scaled_method.py"
    assert before in SCALED
    module.write_text(SCALED.replace(before, after))
    done = call(site, "+experiment=tiny", "cluster=local", "dry_run=true", *TYPED)
    assert done.returncode == 1, done.stdout
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert not (site.parent / "runs").exists()


def test_a_dry_run_writes_its_name_into_the_run_dir(site):
    done = call(site, "+experiment=tiny", "cluster=local", "dry_run=true", "--json", *TYPED)
    assert done.returncode == 0, done.stderr
    run = Path(json.loads(done.stdout)["run_dir"])
    assert json.loads((run / "plan.json").read_text())["trainer"] == "scaled"
    assert "kind: scaled" in (run / "config.yaml").read_text()


@pytest.mark.train
def test_a_run_trains_by_it_and_status_and_report_read_what_it_left(site, cache, monkeypatch):
    short = ("trainer.max_steps=3", "name=scaled")
    plain = launch(site.parent, cache, *short, "name=plain")
    monkeypatch.setenv("PYTHONPATH", str(site))
    run: Finished = launch(site.parent, cache, *short, *TYPED, "trainer.options.shift=0.5")
    added = 2 * 0.5  # a step has two micro-batches
    assert run.losses[0] == pytest.approx(3 * plain.losses[0] + added, rel=1e-3)
    assert [line["scaled_by"] for line in run.metrics() if "loss" in line] == [3.0] * 3
    assert run.events("exported") and (run.path / "model" / "adapter_config.json").is_file()
    assert "scaled fine-tuning" in (run.path / "model" / "README.md").read_text()
    status = call(site, "status", "scaled", "--json")
    assert json.loads(status.stdout)["state"] == "finished", status.stderr
    report = call(site, "report", "scaled")
    assert report.returncode == 0, report.stderr
    assert "scaled by" in (run.path / "report.html").read_text()
