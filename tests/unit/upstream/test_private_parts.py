"""No module outside of train/upstream reaches into private parts of the training stack, or changes a package's attributes."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

STACK = {
    "torch",
    "transformers",
    "trl",
    "accelerate",
    "deepspeed",
    "peft",
    "bitsandbytes",
    "datasets",
    "liger_kernel",
}
LAUNCHER = ROOT / "launcher"
FILES = sorted(file for file in LAUNCHER.rglob("*.py") if "upstream" not in file.parts)
ON_RANK = [file for file in FILES if {"train", "on_rank"} & set(file.parts)]
BY_NAME = {"getattr", "hasattr", "setattr"}
ALLOWED = {("os", "_exit")}
"""Ends a process without the interpreter's shutdown; documented by Python."""


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def trees(files: list[Path]) -> list[ast.Module]:
    return [ast.parse(file.read_text()) for file in files]


@functools.cache
def own_names() -> set[str]:
    """Private names that this project defines itself."""
    found: set[str] = set()
    for tree in trees(FILES):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return {name for name in found if private(name)}


def bound(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(name in this module, full name) of everything that is imported from the stack."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in STACK:
                    yield alias.asname or alias.name.partition(".")[0], alias.name
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in STACK:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(LAUNCHER)))
def test_no_private_name_of_the_stack_is_imported_and_none_of_its_attributes_is_set(file):
    tree = ast.parse(file.read_text())
    names = dict(bound(tree))
    assert not [full for full in names.values() if any(private(part) for part in full.split("."))]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            base = node.value
            while isinstance(base, ast.Attribute):
                base = base.value
            assert not (isinstance(base, ast.Name) and base.id in names), (
                f"line {node.lineno} changes {base.id}"
            )


@pytest.mark.parametrize("file", ON_RANK, ids=lambda file: str(file.relative_to(LAUNCHER)))
def test_no_private_attribute_of_another_packages_object_is_read(file):
    own = own_names()
    for node in ast.walk(ast.parse(file.read_text())):
        name = ""
        if isinstance(node, ast.Attribute) and private(node.attr):
            name, base = node.attr, node.value
            if isinstance(base, ast.Name) and (base.id, name) in ALLOWED:
                continue
            inherited = (
                isinstance(base, ast.Call) and isinstance(base.func, ast.Name) and base.func.id == "super"
            )
            assert not inherited, f"line {node.lineno} calls super().{name}"
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("getattr", "hasattr", "setattr")
        ):
            text = node.args[1]
            name = text.value if isinstance(text, ast.Constant) and private(str(text.value)) else ""
        assert not name or name in own, f"line {node.lineno} uses {name}, which this project does not define"
