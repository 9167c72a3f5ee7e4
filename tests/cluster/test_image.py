"""The image of docker/, built here, and a run inside of it on the cluster."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.image import NEEDED, Image
from tests.support.lab import Lab

pytestmark = [pytest.mark.slurm, pytest.mark.train, pytest.mark.long, pytest.mark.timeout(3600)]


def test_the_image_of_the_dockerfile_is_built_and_trains_on_two_nodes(cache: Path, tmp_path: Path):
    """Debian stands for the base with CUDA, which needs a registry; the rest of the file is built as it is."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    assert not missing, f"make image-packages installs {', '.join(missing)}"
    with Image(tmp_path / "image") as image:
        train_in(image, cache, tmp_path)


def train_in(image: Image, cache: Path, tmp_path: Path) -> None:
    root = image.build()
    assert image.user() == "10001"
    for name in ("opt/launcher/bin/launcher", "work", "home/launcher/.cache"):
        assert (root / name).exists()
    python = "/opt/launcher/bin/python"
    words = ["ch-run", str(root), "--", python, "-m", "launcher", "help"]
    bare = {"USER": "root", "PATH": "/usr/bin:/bin"}
    shown = subprocess.run(words, capture_output=True, text=True, env=bare)
    assert shown.returncode == 0 and "Plan and launch" in shown.stdout, shown.stderr
    # a cluster of its own, since the nodes of one that was started before do not see the mounted image
    lab = Lab(Path("/tmp") / f"image-{os.getpid()}", SLAB_NET="10.83.0")
    lab("up", "2")
    try:
        check_run(lab, root, python, cache, tmp_path)
    finally:
        lab("down")
        shutil.rmtree(lab.folder, ignore_errors=True)


def check_run(lab: Lab, root: Path, python: str, cache: Path, tmp_path: Path) -> None:
    run = lab.launch(
        tmp_path, f"cache_dir={cache}", "trainer.max_steps=2", "data.eval_path=null", "resources.nodes=2",
        "batch.micro_batch_size=1", "cluster.container.runtime=charliecloud", f"cluster.container.image={root}",
        f"cluster.container.python={python}", "cluster.env.USER=root",
    )  # fmt: skip
    lab.wait(run, "finished")
    assert "ch-run" in (run.path / "node.sh").read_text() and len(run.losses) == 2
