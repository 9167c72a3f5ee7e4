"""What each shipped experiment renders, file by file. `pytest tests/unit/test_golden.py --golden-update` rewrites it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.plan import LaunchPlan
from launcher.render import render
from launcher.resources import resource_dir
from tests.support.paths import GOLDEN

BINARIES = Path(sys.executable).parent
SITE = [
    "++cluster.sbatch={partition:gpu,account:project_7,exclusive:true}",
    "++cluster.env={NCCL_SOCKET_IFNAME:ib0}",
    "cluster.modules=[gcc/13.2,cuda/13.0]",
    'cluster.setup=["source /opt/site/env.sh","ulimit -n 65536"]',
    "cluster.python=/opt/python/bin/python3",
]
CONTAINER = ["cluster.container.mounts=[/scratch]", "cluster.container.python=/usr/bin/python3"]
EXPERIMENTS = {
    path.stem: [f"+experiment={path.stem}"]
    for path in sorted((resource_dir("conf") / "experiment").glob("*.yaml"))
}
VARIANTS = {
    "site_pyxis": [
        *("+experiment=llama8b_lora", *SITE, *CONTAINER),
        *("cluster.container.runtime=pyxis", "cluster.container.image=registry.site/train:1"),
    ],
    "site_apptainer": [
        *("+experiment=llama8b_lora", *SITE, *CONTAINER),
        *("cluster.container.runtime=apptainer", "cluster.container.image=/images/train.sif"),
    ],
    "site_accelerate": ["+experiment=llama70b_lora_zero3", *SITE, "cluster.rank_starter=accelerate"],
}
SITES = {
    f"cluster_{path.stem}": [
        "+experiment=llama8b_lora",
        f"cluster={path.stem}",
        *(["cluster.sbatch.account=project_7"] if "account:" in path.read_text() else []),
        *(
            ["resources.gpus_per_node=1", "resources.nodes=4"]
            if "gpus_per_node: 1\n" in path.read_text()
            else []
        ),
    ]
    for path in sorted((resource_dir("conf") / "cluster").glob("*.yaml"))
    if "Not run there." in path.read_text()
}
"""The cluster files of public sites."""
CASES = EXPERIMENTS | VARIANTS | SITES


@pytest.fixture
def rendered(plan: Callable[..., LaunchPlan]) -> Callable[[str], dict[str, str]]:
    """The files of a case on a Slurm cluster."""

    def rendered(case: str) -> dict[str, str]:
        experiment = CASES[case][0].partition("=")[2]
        place = [] if case in SITES else ["cluster=slurm"]
        return render(plan(*place, *CASES[case], experiment=experiment))

    return rendered


@pytest.mark.parametrize("case", CASES)
def test_what_is_rendered_equals_the_golden_files(rendered, case: str, request: pytest.FixtureRequest):
    texts = rendered(case)
    folder = GOLDEN / case
    if request.config.getoption("--golden-update"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, text in texts.items():
            (folder / name).write_text(text)
    assert {path.name: path.read_text() for path in folder.iterdir()} == texts


def test_every_golden_folder_belongs_to_a_case():
    assert {path.name for path in GOLDEN.iterdir()} == set(CASES)


def test_no_path_of_this_machine_stands_in_a_golden_file():
    roots = [str(Path.cwd()), str(Path.home()), str(BINARIES), str(GOLDEN.parent.parent)]
    texts = [path.read_text() for path in GOLDEN.glob("*/*")]
    assert not [root for root in roots for text in texts if len(root) > 1 and root in text]


def test_bash_reads_every_script():
    for script in scripts():
        subprocess.run(["bash", "-n", script], check=True)


def test_shellcheck_finds_nothing_in_any_script():
    # SC1091: a site's own files, which a setup line sources, are not on this machine.
    command = [BINARIES / "shellcheck", "--exclude=SC1091", *scripts()]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.stdout == ""
    assert found.returncode == 0


def scripts() -> list[Path]:
    """Every rendered script, and the scripts that ship as they are."""
    shipped = [path for path in resource_dir("slurm").iterdir() if path.read_text().startswith("#!")]
    plain = [path for path in shipped if path.suffix != ".j2"]
    return [*GOLDEN.glob("*/job.sbatch"), *GOLDEN.glob("*/node.sh"), *sorted(plain)]
