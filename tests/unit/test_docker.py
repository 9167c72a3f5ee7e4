"""The image and the three ways of using it."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.config import ContainerConfig, ContainerRuntime
from launcher.errors import PlanError
from launcher.plan.containers import missing_mount_points
from launcher.render import render
from tests.support.paths import ROOT

DOCKERFILE = ROOT / "docker" / "Dockerfile"
README = (ROOT / "docker" / "README.md").read_text()
COMMANDS = re.findall(r"^    python -m launcher (.+)$", README, re.MULTILINE)


def test_the_dockerfile_passes_hadolint():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(hadolint), str(DOCKERFILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_base_image_is_pinned_and_package_versions_are_pyprojects_alone():
    text = DOCKERFILE.read_text()
    assert re.search(r"^FROM nvidia/cuda:\d+\.\d+\.\d+-devel-ubuntu\d\d\.04$", text, re.MULTILINE)
    installed = re.findall(r"pip install (.+)$", text, re.MULTILINE)
    assert installed == ['".[train,track]"']


def test_what_the_image_copies_is_let_in_by_its_ignore_file():
    let_in = {
        line[1:]
        for line in (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
        if line[:1] == "!"
    }
    assert copied() == let_in
    assert all((ROOT / name).exists() for name in copied())


def test_the_image_copies_all_that_the_wheel_holds():
    project = (ROOT / "pyproject.toml").read_text()
    packages, forced = re.findall(
        r"^packages = (.+)$\n\n\[.+force-include\]\n((?:.+\n)+)", project, re.MULTILINE
    )[0]
    held = {*re.findall(r'"(\w+)"', packages), *re.findall(r"^(\w+) = ", forced, re.MULTILINE)}
    assert {"launcher", "conf"} <= held <= copied()


def test_the_ranks_do_not_run_as_root():
    users = re.findall(r"^USER (.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert users and users[-1] not in ("root", "0")


def test_bare_nodes_have_no_container_in_their_scripts(plan):
    bare = plan("+experiment=llama8b_lora", "cluster=slurm")
    assert not [option for option in bare.step_options if option.startswith("--container")]
    assert last_command(bare) == "exec /venv/bin/python -m launcher.supervise.agent ."


def test_the_documented_pyxis_commands_become_sruns_options(plan):
    commands = [shlex.split(command) for command in COMMANDS if "pyxis" in command]
    plans = [plan(*command) for command in commands]
    assert [
        option for one in plans for option in one.step_options if option.startswith("--container-image")
    ] == [
        "--container-image=/images/launcher.sqsh",
        "--container-image=registry.site#lab/launcher:0.1",
    ]
    for one in plans:
        assert "--container-workdir=/runs/NAME/DATE" in one.step_options
        assert last_command(one) == "exec python3 -m launcher.supervise.agent ."


def test_the_documented_apptainer_command_becomes_the_exec_line_of_node_sh(plan):
    (command,) = (shlex.split(command) for command in COMMANDS if "apptainer" in command)
    line = last_command(plan(*command))
    assert line.startswith("exec apptainer exec --nv --bind /runs/NAME/DATE:/runs/NAME/DATE ")
    assert line.endswith(" --pwd /runs/NAME/DATE /images/launcher.sif python3 -m launcher.supervise.agent .")


def test_a_run_on_cpu_asks_apptainer_for_no_gpu(plan):
    container = ("cluster.container.runtime=apptainer", "cluster.container.image=/images/launcher.sif")
    assert "--nv" not in plan("+experiment=tiny", "cluster=slurm", *container, device="cpu").container_command


@pytest.mark.parametrize(
    ("runtime", "begins", "ends"),
    [
        ("apptainer", "apptainer exec --nv --bind /runs", "--pwd /runs/NAME/DATE --rocm /images/l"),
        ("singularity", "singularity exec --nv --bind /runs", "--pwd /runs/NAME/DATE --rocm /images/l"),
        ("charliecloud", "ch-run --bind /runs", "--cd /runs/NAME/DATE --rocm /images/l --"),
        (
            "podman_hpc",
            "podman-hpc run --rm --env-host --network=host --ipc=host --gpu --volume /runs",
            "--workdir /runs/NAME/DATE --rocm /images/l",
        ),
    ],
)
def test_each_program_gets_options_in_its_own_words(plan, runtime: str, begins: str, ends: str):
    container = [f"cluster.container.runtime={runtime}", "cluster.container.image=/images/l"]
    line = " ".join(
        plan("+experiment=tiny", *container, "cluster.container.options=[--rocm]").container_command
    )
    assert line.startswith(begins) and line.endswith(ends)


def test_an_unpacked_image_gets_the_folders_that_charliecloud_mounts_on(cli, tmp_path: Path):
    (tmp_path / "image").mkdir()
    container = ["cluster.container.runtime=charliecloud", f"cluster.container.image={tmp_path}/image"]
    typed = ["+experiment=tiny", "cluster=slurm", "dry_run=true", *container]
    scratch = f"cluster.container.mounts=[{tmp_path},/data:/mine]"
    done = cli(*typed, scratch)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "image" / str(tmp_path).lstrip("/")).is_dir() and (tmp_path / "image/mine").is_dir()
    (tmp_path / "image" / "mine").rmdir()
    (tmp_path / "image" / "mine").touch()
    refused = cli(*typed, scratch)
    assert refused.returncode == 1 and "has no folder /mine to mount on" in refused.stderr
    assert "--write-fake" in refused.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("runtime", "options", "expected"),
    [
        ("charliecloud", [], ["/a", "/inside"]),
        ("charliecloud", ["--write-fake"], []),
        ("apptainer", [], []),
    ],
)
def test_mount_points_are_made_where_the_program_makes_none(runtime, options, expected):
    container = ContainerConfig(runtime=ContainerRuntime[runtime], image="/i", options=options)
    assert missing_mount_points(container, ["/a/b:/a/b", "/a", "/a/c", "/x:/inside"]) == expected


@pytest.mark.parametrize("runtime", ["pyxis", "apptainer"])
def test_a_site_s_mounts_come_after_the_run_dir_the_cache_and_the_data(plan, runtime: str):
    container = [f"cluster.container.runtime={runtime}", "cluster.container.image=/images/launcher"]
    mounts = "cluster.container.mounts=[/scratch,/models:/models]"
    one = plan("+experiment=tiny", "cluster=slurm", *container, mounts)
    (option,) = (option for option in one.step_options if "mounts" in option) if runtime == "pyxis" else [""]
    words = one.container_command
    bound = [words[index + 1] for index, word in enumerate(words) if word == "--bind"]
    assert (option.removeprefix("--container-mounts=").split(",") if option else bound) == [
        "/runs/NAME/DATE:/runs/NAME/DATE",
        "/cache:/cache",
        "/huggingface:/huggingface",
        "/data:/data",
        "/work_dir:/work_dir",
        "/scratch",
        "/models:/models",
    ]


def test_a_cache_below_a_folder_that_the_site_mounts_is_not_mounted_again(plan):
    def mounts(*sites: str, **facts: object) -> str:
        container = ("cluster.container.runtime=pyxis", "cluster.container.image=/images/launcher")
        one = plan("+experiment=tiny", *container, f"cluster.container.mounts=[{','.join(sites)}]", **facts)
        return next(option for option in one.step_options if option.startswith("--container-mounts="))

    shared = {"cache_dir": "/scratch/cache", "hub_folders": {"HF_HOME": "/scratch/hub"}}
    for same in ("/scratch", "/scratch:/scratch", "/"):
        assert "cache" not in mounts(same, **shared)
        assert "hub" not in mounts(same, **shared)
    for other in ("/scratch:/elsewhere", "/scratch/c", "/data"):
        assert "/scratch/cache:/scratch/cache,/scratch/hub:/scratch/hub" in mounts(other, **shared)


@pytest.mark.parametrize("runtime", ["pyxis", "apptainer"])
def test_the_ranks_in_a_container_use_the_host_s_hub_cache_whatever_the_image_says(plan, runtime: str):
    container = (f"cluster.container.runtime={runtime}", "cluster.container.image=/images/launcher")
    site = ("+experiment=tiny", "cluster=slurm", '+cluster.env.HF_HOME="~/hub"')
    assert "export HF_HOME=/huggingface" in render(plan(*site, *container))["node.sh"].splitlines()
    assert "export HF_HOME='~/hub'" in render(plan(*site))["node.sh"].splitlines()
    assert "HF_HOME" not in plan("+experiment=tiny", "cluster=slurm").env
    assert not re.search(r"HF_HOME|XDG_CACHE_HOME", DOCKERFILE.read_text())


def test_a_launch_makes_the_caches_that_a_container_mounts(cli, tmp_path: Path):
    where = [f"cache_dir={tmp_path}/own/cache", f"+cluster.env.HF_HOME={tmp_path}/home"]
    typed = ["+experiment=tiny", "cluster=slurm", "dry_run=true", "--json", *where]
    bare = cli(*typed, HF_DATASETS_CACHE=f"{tmp_path}/sets")
    assert bare.returncode == 0, bare.stderr
    assert not (tmp_path / "home").exists()
    assert (
        json.loads(Path(json.loads(bare.stdout)["run_dir"], "plan.json").read_text())["facts"]["hub_folders"]
        == {}
    )
    container = ["cluster.container.runtime=apptainer", "cluster.container.image=/images/launcher.sif"]
    done = cli(*typed, *container, HF_HOME="/not/this", HF_DATASETS_CACHE=f"{tmp_path}/sets")
    assert done.returncode == 0, done.stderr
    run = Path(json.loads(done.stdout)["run_dir"])
    words = shlex.split((run / "node.sh").read_text().strip().splitlines()[-1])
    for folder in ("own/cache", "home", "sets"):
        assert (tmp_path / folder).is_dir()
        assert f"{tmp_path / folder}:{tmp_path / folder}" in words
    assert json.loads((run / "plan.json").read_text())["env"]["HF_HOME"] == f"{tmp_path}/home"


def test_a_cache_that_cannot_be_made_for_a_container_is_refused(cli, tmp_path: Path):
    (tmp_path / "file").touch()
    container = ["cluster.container.runtime=apptainer", "cluster.container.image=/images/launcher.sif"]
    done = cli(
        "+experiment=tiny", "cluster=slurm", "dry_run=true", *container, HF_HOME=f"{tmp_path}/file/hub"
    )
    assert done.returncode == 1
    refusal = done.stderr.splitlines()[-1]
    assert re.fullmatch(rf"launcher: HF_HOME={tmp_path}/file/hub .+ cannot be created .+", refusal)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("runtime", ["pyxis", "apptainer"])
def test_a_container_without_an_image_is_refused(plan, runtime):
    with pytest.raises(PlanError, match=r"needs cluster\.container\.image"):
        plan("+experiment=tiny", "cluster=slurm", f"cluster.container.runtime={runtime}")


def copied() -> set[str]:
    """What the Dockerfile takes from the project's root."""
    lines = re.findall(r"^COPY (.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    return {word for line in lines for word in line.split()[:-1]}


def last_command(plan) -> str:
    """The line of node.sh that becomes the ranks' starter."""
    return render(plan)["node.sh"].strip().splitlines()[-1]
