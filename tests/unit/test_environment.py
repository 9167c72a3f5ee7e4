"""Every environment variable of the project is listed, with its meaning."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher import environment
from launcher.clusters.slurm.environment import VARIABLES as SLURM_VARIABLES
from launcher.environment import VARIABLES
from launcher.trackers.registry import TRACKERS
from tests.support.paths import ROOT

TRACKED = {one.name: one for tracker in TRACKERS.own() for one in tracker.environment}
LISTED = {**VARIABLES, **SLURM_VARIABLES, **TRACKED}
LISTS = ("launcher/environment.py", "launcher/clusters/slurm/environment.py")
MODULES = [
    path for path in sorted((ROOT / "launcher").rglob("*.py")) if str(path.relative_to(ROOT)) not in LISTS
]
NOT_VARIABLES = {
    "CAUSAL_LM": "peft's TaskType",
    "SEQ_CLS": "peft's TaskType",
    "CONTEXT_GIB": "a constant of the memory model",
    "LOCAL_MACHINE": "accelerate's compute_environment",
    "MULTI_GPU": "accelerate's distributed_type",
    "SHARDED_STATE_DICT": "FSDP's state_dict_type",
    "TRANSFORMER_BASED_WRAP": "FSDP's auto_wrap_policy",
    "ON_RANK": "a constant that a registry reads",
    "JOB_SCRIPT": "a name that launcher.run exports",
    "Q6_K": "a type of tensors in a GGUF file",
    "Q8_0": "a type of tensors in a GGUF file",
}
"""Words that look like variables, and what they are."""
LOOKS_LIKE_ONE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
MAY_BE_A_KEY = re.compile(r"[A-Z]{5,}")
HOLDER = re.compile(r"(^|[._])env(iron|ironment)?$")


def names(tree: ast.AST) -> Iterator[str]:
    """Names of variables in a module: words that look like one, keys of dict literals, and what an environment is asked for."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(word)) if LOOKS_LIKE_ONE.fullmatch(word):
                yield word
            case ast.Dict(keys=keys):
                yield from (
                    key.value
                    for key in keys
                    if isinstance(key, ast.Constant)
                    and isinstance(key.value, str)
                    and MAY_BE_A_KEY.fullmatch(key.value)
                )
            case ast.Subscript(value=holder, slice=ast.Constant(value=str(word))) if is_environment(holder):
                yield word
            case ast.Call(
                func=ast.Attribute(value=holder, attr="get" | "pop" | "setdefault"),
                args=[ast.Constant(value=str(word)), *_],
            ):
                if is_environment(holder):
                    yield word
            case ast.Call(
                func=ast.Attribute(attr="getenv") | ast.Name(id="getenv"),
                args=[ast.Constant(value=str(word)), *_],
            ):
                yield word
            case ast.Compare(left=ast.Constant(value=str(word)), comparators=[holder]) if is_environment(
                holder
            ):
                yield word
            case _:
                pass


def is_environment(node: ast.expr) -> bool:
    return isinstance(node, ast.Name | ast.Attribute) and HOLDER.search(ast.unparse(node)) is not None


def unlisted(source: str) -> set[str]:
    return {name for name in names(ast.parse(source)) if name not in LISTED and name not in NOT_VARIABLES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_uses_listed_variables_alone(path: Path):
    assert unlisted(path.read_text()) == set(), (
        "add it to launcher/environment.py, or to its tracker, with its meaning"
    )


@pytest.mark.parametrize(
    "source",
    [
        "os.environ['NEW_ONE']",
        "os.environ['new']",
        "os.environ.get('NEWONE', '')",
        "environ.pop('NEWONE')",
        "self.env.setdefault('NEWONE', '1')",
        "os.getenv('NEWONE')",
        "'NEWONE' in os.environ",
        "Popen([], env={**os.environ, 'NEWONE': '1'})",
        "NAMES = ('NEW_ONE',)",
    ],
)
def test_a_variable_that_is_not_listed_would_be_noticed(source: str):
    assert len(unlisted(source)) == 1


def test_own_variables_and_those_of_torchrun_are_written_by_their_name_in_the_list():
    own = {name for name in VARIABLES if name.startswith("LAUNCHER_")} | {
        environment.RANK, environment.LOCAL_RANK, environment.GROUP_RANK, environment.WORLD_SIZE, environment.LOCAL_WORLD_SIZE,
        environment.MASTER_ADDR, environment.MASTER_PORT, environment.USE_AGENT_STORE,
    }  # fmt: skip
    literal = {
        (str(path), name) for path in MODULES for name in own & set(names(ast.parse(path.read_text())))
    }
    assert literal == set(), "write environment.NAME"


def test_every_listed_variable_is_used():
    constants = {value: name for name, value in vars(environment).items() if isinstance(value, str)}
    texts = "\n".join(path.read_text() for path in [*MODULES, *(ROOT / "slurm").glob("*.j2")])
    lists = "\n".join((ROOT / path).read_text() for path in LISTS)
    unused = [
        name
        for name in LISTED
        if len(re.findall(rf"\b{name}\b", texts)) <= (name in TRACKED)  # a tracker's list is one of the texts
        and f'environ.get("{name}"' not in lists
        and f'environ["{name}"]' not in lists
        and not re.search(rf"\benvironment\.{constants.get(name, name)}\b", texts)
    ]
    assert unused == []


def test_templates_use_listed_variables_alone():
    for template in (ROOT / "slurm").glob("*.j2"):
        used = set(re.findall(r"\$\{?([A-Z][A-Z0-9_]+)", template.read_text()))
        assert used - {"BASH_COMMAND", "SECONDS"} <= set(LISTED), template.name  # bash's own


def test_every_variable_has_a_meaning_and_its_two_ends():
    for one in LISTED.values():
        assert one.meaning.endswith("."), one.name
        assert one.set_by, one.name
        assert one.read_by, one.name
