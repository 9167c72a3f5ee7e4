"""The compiler that DeepSpeed's operators for the host need: said before the queue, or by the node before its ranks start."""

import json
import sys
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.compiler import lacking_for
from launcher.errors import ConfigError
from launcher.launching.package_gate import check_packages, package_notes
from launcher.plugins.decide import decide
from launcher.run import RunDir
from launcher.supervise.preflight import look_at_node

OFFLOAD = ("+experiment=tiny", "strategy=zero3_offload", "cluster=local")


@pytest.mark.parametrize(
    ("programs", "environ", "said"),
    [
        ((), {}, "a C++ compiler (c++); apt-get install g++"),
        (("ninja",), {"CXX": "/opt/gcc/g++ -pipe"}, "a C++ compiler (/opt/gcc/g++)"),
        (("c++",), {}, "ninja; pip install ninja"),
    ],
)
def test_what_is_missing_is_named_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch, programs, environ, said
):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    for name in programs:
        (tmp_path / name).touch(0o755)
    found = lacking_for(["cpu_adam"], "cuda", {"PATH": str(tmp_path), **environ})
    assert found is not None and said in found
    assert lacking_for([], "cuda", {"PATH": str(tmp_path)}) is None


@pytest.mark.parametrize(("built_for", "lacks"), [("cuda", False), ("cpu", True)])
def test_an_operator_that_was_compiled_at_installation_needs_no_compiler(
    tmp_path: Path, monkeypatch, built_for: str, lacks: bool
):
    package = tmp_path / "deepspeed"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "git_version_info_installed.py").write_text(
        f"version='0.19.8'\ninstalled_ops={{'cpu_adam': True}}\naccelerator_name={built_for!r}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "deepspeed", raising=False)
    assert bool(lacking_for(["cpu_adam"], "cuda", {"PATH": ""})) is lacks


def test_a_launch_on_this_machine_is_refused_before_it_starts_and_a_queued_one_is_not(
    compose, facts, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("CXX", "/nowhere/c++")
    for overrides, refused in (
        (OFFLOAD, True),
        ((*OFFLOAD, "trainer.optim=sgd", "plugin=[]"), False),
        (("+experiment=tiny", "strategy=zero3", "cluster=local"), False),
        (("+experiment=tiny", "strategy=zero3_offload", "cluster=slurm"), False),
    ):
        config = compose(*overrides)
        cluster = next(one for one in overrides if one.startswith("cluster=")).partition("=")[2]
        plan = decide(config, facts(config, python=sys.executable, cluster=cluster))
        notes = [note for note in package_notes(config, plan) if "compiles cpu_adam" in note]
        assert bool(notes) is refused
        if refused:
            with pytest.raises(
                ConfigError, match=r"strategy=zero3_offload compiles cpu_adam of DeepSpeed when it starts"
            ):
                check_packages(config, plan)


def test_a_plan_says_for_what_a_launch_would_be_refused(monkeypatch, tmp_path: Path, capsys):
    monkeypatch.setenv("CXX", "/nowhere/c++")
    monkeypatch.chdir(tmp_path)
    assert main(["plan", *OFFLOAD]) == 0
    assert "a launch is refused: strategy=zero3_offload compiles cpu_adam" in capsys.readouterr().out


def test_a_node_says_so_before_its_ranks_start(plan, tmp_path: Path, monkeypatch):
    run = RunDir(tmp_path)
    made = plan("+experiment=tiny", "strategy=zero3_offload", device="cpu", cluster="local")
    run.plan.write_text(json.dumps({
        "device": "cpu", "topology": {"gpus_per_node": 1}, "trainer_args": {"optim": "adamw_torch"},
        "strategy": {"name": made.strategy.name, **vars(made.strategy.config())},
    }))  # fmt: skip
    monkeypatch.setenv("CXX", "/nowhere/c++")
    assert [one for one in look_at_node(run).problems if "cpu_adam of DeepSpeed cannot be compiled" in one]
    monkeypatch.delenv("CXX")
    for name in ("c++", "ninja"):
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not [one for one in look_at_node(run).problems if "cannot be compiled" in one]
