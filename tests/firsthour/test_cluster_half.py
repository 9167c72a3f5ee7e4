"""The cluster half of the tutorial, typed on the login node of a real Slurm cluster, up to a run that has finished."""

from pathlib import Path

import pytest

from launcher.resources import resource_dir
from launcher.run import RunDir
from launcher.run.events.launching import Submitted
from launcher.run.events.supervisor import Finished
from tests.firsthour.session import run_all
from tests.firsthour.typed import read_blocks
from tests.support.runs import environment

pytestmark = pytest.mark.slurm

BEGINNINGS = (
    "cat > faq.csv",
    "launcher init --model llama3_1_8b",
    "mkdir -p ~/site",
    "cat > ~/site",
    "launcher --config big_run.yaml",
    "launcher follow",
)
CHANGED = (
    ("--model llama3_1_8b", "--model tiny", "there is no GPU for eight billion parameters"),
    ("--gpus 4 --time 08:00:00", "--gpus 2 --time 00:10:00", "it has two ranks, and ends in a minute"),
    (
        "cluster=mysite",
        "cluster=mysite resources.device=cpu resources.cpus_per_gpu=2",
        "its GPUs are pretended, and its nodes have eight cores",
    ),
)
PROBED = "launcher site probe --write ~/site/cluster/mysite.yaml"
"""What writes the site file on a login node, as the tutorial says; the file that it shows is of another site."""


def _as_typed(text: str) -> str:
    if text.startswith("cat > ~/site"):
        return PROBED
    for old, new, _ in CHANGED:
        text = text.replace(old, new)
    return text


def test_the_cluster_half_of_the_tutorial_submits_a_run_that_finishes(lab, tmp_path: Path):
    page = "docs/tutorial.md"
    assert PROBED in Path(page).read_text()
    typed = [one for one in read_blocks(page) if one.text.startswith(BEGINNINGS)]
    assert len(typed) == 1 + len(BEGINNINGS)  # one dry run, one launch
    commands = [_as_typed(one.text) for one in typed]
    more = environment(**lab.settings, OMP_NUM_THREADS="1", HF_ENDPOINT="http://127.0.0.1:1")
    kept = {name: value for name, value in more.items() if name not in ("PATH", "HOME", "PYTHONPATH")}
    results = run_all(
        [*commands, "launcher status", "launcher report"],
        tmp_path,
        kept,
        inside=(str(resource_dir("slurm") / "lab"), "exec"),
    )
    wrong = [f"{command}\n{out}" for command, (code, out) in zip(commands, results, strict=False) if code]
    assert not wrong, "\n\n".join(wrong)
    dry, launched, followed, status, report = (out for _, out in results[-5:])
    assert "nothing was submitted" in dry and "submit with" in dry
    assert "next" in launched and "finished in" in followed
    folders = [
        Path(line.split(maxsplit=2)[2]) for line in launched.splitlines() if line.startswith("run dir")
    ]
    run = RunDir(folders[0])
    assert run.read_events(Submitted) and run.read_events(Finished)
    assert run.path.name in status and "finished" in status
    assert (run.path / "report.html").is_file() and str(run.path) in report
    assert (run.path / "model" / "adapter_model.safetensors").is_file()
