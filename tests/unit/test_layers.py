"""What may import what, and what an experiment may say."""

import ast
import graphlib
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import grimp
import pytest
from omegaconf import OmegaConf

from tests.support.paths import ROOT

EXPERIMENTS = sorted((ROOT / "conf" / "experiment").glob("*.yaml"))
HEAVY = (
    "torch",
    "transformers",
    "accelerate",
    "deepspeed",
    "peft",
    "trl",
    "bitsandbytes",
    "datasets",
    "wandb",
)

BLOCKER = f"""
import importlib.abc, runpy, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocker())
"""


@pytest.mark.parametrize(
    "checker", [["lint-imports"], ["ruff", "check", "."], ["ruff", "format", "--check", "."], ["pyright"]]
)
def test_the_code_is_clean(checker):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(checker, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_modules_import_each_other_in_a_circle():
    """Imports inside functions and for type checkers count as well."""
    graph = grimp.build_graph("launcher", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 500
    graphlib.TopologicalSorter(imports).prepare()  # CycleError names the circle


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "+experiment=llama70b_qlora", "cluster=slurm"],
        ["+experiment=llama70b_qlora", "cluster=slurm", "dry_run=true"],
        ["list"],
    ],
)
def test_the_login_path_imports_nothing_heavy(tmp_path, arguments):
    run = f"{BLOCKER}\nsys.argv = ['launcher', *{arguments!r}]\nrunpy.run_module('launcher', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", run], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_looking_at_runs_imports_nothing_heavy(tmp_path):
    launch = [sys.executable, "-m", "launcher", "+experiment=tiny", "cluster=local", "dry_run=true"]
    subprocess.run(launch, cwd=tmp_path, check=True, capture_output=True)
    for verb, said in (("status", "planned"), ("list", "planned"), ("report", "report.html")):
        run = (
            f"{BLOCKER}\nsys.argv = ['launcher', '{verb}']\nrunpy.run_module('launcher', run_name='__main__')"
        )
        done = subprocess.run([sys.executable, "-c", run], cwd=tmp_path, capture_output=True, text=True)
        assert said in done.stdout, done.stderr


@pytest.mark.parametrize(
    "module", ["launcher.supervise.__main__", "launcher.supervise.agent", "launcher.status.follow"]
)
def test_what_stands_over_the_ranks_imports_nothing_heavy(module):
    done = subprocess.run(
        [sys.executable, "-c", f"{BLOCKER}\nimport {module}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["launcher.supervise.agent", "launcher.commands.list"])
def test_what_only_reads_a_run_dir_imports_no_hydra(module):
    code = f"import sys, {module}; print([name for name in ('hydra', 'omegaconf') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_the_blocker_would_notice():
    done = subprocess.run([sys.executable, "-c", f"{BLOCKER}\nimport torch"], capture_output=True, text=True)
    assert "blocked: torch" in done.stderr


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_says_what_and_never_where(path):
    experiment = OmegaConf.load(path)
    assert "cluster" not in experiment
    assert not any("cluster" in str(default) for default in experiment.defaults)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_opens_with_its_command_hardware_and_cost(path):
    first, *_ = path.read_text().partition("\ndefaults:")
    assert first.startswith("# @package _global_\n")
    assert f"# python -m launcher +experiment={path.stem}\n" in first
    for word in ("Hardware:", "Memory:", "Time:"):
        assert re.search(rf"^#.*{word}", first, re.MULTILINE), word


def test_no_two_classes_have_one_name():
    found = defaultdict(list)
    for path in sorted((ROOT / "launcher").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}
