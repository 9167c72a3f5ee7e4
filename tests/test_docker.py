"""The image and the three ways of using it."""

import re
import subprocess
from pathlib import Path

import pytest

from launcher.errors import PlanError

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "docker" / "Dockerfile"


def test_the_dockerfile_passes_hadolint():
    done = subprocess.run(["hadolint", str(DOCKERFILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_base_image_is_pinned_and_package_versions_are_pyprojects_alone():
    text = DOCKERFILE.read_text()
    assert re.search(r"^FROM nvidia/cuda:\d+\.\d+\.\d+-devel-ubuntu\d\d\.04$", text, re.MULTILINE)
    assert "==" not in text


def test_what_the_image_copies_is_let_in_by_its_ignore_file():
    copied = {
        word
        for line in re.findall(r"^COPY (.+)$", DOCKERFILE.read_text(), re.MULTILINE)
        for word in line.split()[:-1]
    }
    let_in = {
        line[1:]
        for line in (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
        if line[:1] == "!"
    }
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)


def test_pyxis_puts_the_image_and_mounts_into_sruns_options(plan):
    srun = plan(
        "+experiment=tiny",
        "cluster=slurm",
        "cluster.container.runtime=pyxis",
        "cluster.container.image=/images/launcher.sqsh",
        "cluster.container.mounts=[/scratch]",
    ).srun
    assert "--container-image=/images/launcher.sqsh" in srun
    mounts = next(option for option in srun if option.startswith("--container-mounts="))
    assert mounts.endswith(",/scratch")
    assert mounts.startswith("--container-mounts=/runs/NAME/DATE:/runs/NAME/DATE,/cache:/cache,/data:/data")


def test_apptainer_wraps_the_ranks_command(plan):
    container = ("cluster.container.runtime=apptainer", "cluster.container.image=/images/launcher.sif")
    words = plan("+experiment=tiny", "cluster=slurm", *container).container_command
    assert words[:3] == ("apptainer", "exec", "--nv")
    assert words[-1] == "/images/launcher.sif"


@pytest.mark.parametrize("runtime", ["pyxis", "apptainer"])
def test_a_container_without_an_image_is_refused(plan, runtime):
    with pytest.raises(PlanError, match=r"needs cluster\.container\.image"):
        plan("+experiment=tiny", "cluster=slurm", f"cluster.container.runtime={runtime}")
