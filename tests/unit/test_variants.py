"""Only its own module knows a variant by its name.

The syntax trees of launcher/ are read: a comparison with a name (`==`, `!=`, `is`, `in`, a case of a match), a name as a key
(`TABLE["name"]`, `.get("name")`), `startswith` of what a name begins with, and a tuple, list, set or dict that holds two or
more names, are found wherever they stand, but in the variant's own module.

To switch a kind on, add it to KINDS: the names of its variants, and the folders in which the module NAME.py, or the package
NAME, is the variant's own. A place that must know a name goes to ALLOWED with its reason; an entry that is no longer needed
fails the test.
"""

import ast
import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from launcher.clusters.registry import CLUSTERS
from launcher.formats.registry import FORMATS
from launcher.methods.registry import METHODS
from launcher.recipes.registry import TOOLS
from launcher.strategies.registry import STRATEGIES
from launcher.trackers.registry import TRACKERS
from tests.support.paths import ROOT


@dataclass(frozen=True)
class Kind:
    """One kind of variants."""

    names: tuple[str, ...]
    own: tuple[str, ...]
    """Folders of launcher/ with a module or a package for each variant."""


COMMON = ("labelled", "messages", "prompt", "text")
"""Formats that have the name of a kind of rows, or of a key of every row in its common form (launcher/data/kinds.py)."""
SHORTEST = 3
"""Letters from which on a beginning is that of a name, and not any text's."""
KINDS = {
    "methods": Kind(names=METHODS.own_names(), own=("methods", "train/methods")),
    "clusters": Kind(names=CLUSTERS.own_names(), own=("clusters",)),
    # `none` is a value of other keys as well (a container's runtime, a pruner, an adapter's bias)
    "trackers": Kind(names=tuple(name for name in TRACKERS.own_names() if name != "none"), own=("trackers",)),
    "strategies": Kind(names=(*STRATEGIES.own_names(), "deepspeed"), own=("strategies", "train/strategies")),
    # `trl` is the name of a package as well
    "recipes": Kind(names=tuple(name for name in TOOLS.own_names() if name != "trl"), own=("recipes",)),
    "formats": Kind(
        names=tuple(name for name in FORMATS.own_names() if name not in COMMON), own=("formats",)
    ),
}
ALLOWED = {
    ("strategies", "recipes/axolotl.py", "deepspeed"): "the name of a key of axolotl's recipes",
    (
        "strategies",
        "train/methods/parts.py",
        "deepspeed",
    ): "the name of an argument of transformers' TrainingArguments",
    ("methods", "api/job_request.py", "dpo"): "a name of OpenAI's API, of which pydantic wants a list",
}
"""(kind, pattern of files, name) -> why these places may know the name."""


@dataclass(frozen=True)
class Found:
    """A place where a name is compared or listed."""

    file: str
    line: int
    function: str
    name: str
    text: str


def find_names(tree: ast.AST, names: frozenset[str]) -> Iterator[tuple[ast.AST, str, str]]:
    """(node, function, name) of each comparison with one of the names, and of each list of two or more."""

    def visit(node: ast.AST, function: str) -> Iterator[tuple[ast.AST, str, str]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            function = node.name
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                yield from ((node, function, name) for name in _named(side) & names)
        elif isinstance(node, ast.Subscript):
            yield from ((node, function, name) for name in _named(node.slice) & names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from ((node, function, name) for name in names if _asks(node.func.attr, node.args, name))
        elif isinstance(node, ast.MatchValue):
            yield from ((node, function, name) for name in _named(node.value) & names)
        elif isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
            listed = _named(node) & names
            if len(listed) > 1:
                yield from ((node, function, name) for name in listed)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, function)

    return visit(tree, "")


def _asks(method: str, arguments: list[ast.expr], name: str) -> bool:
    """Whether a call looks the name up in a table, or asks whether a text begins as the name does."""
    words = _named(arguments[0]) if arguments else set[str]()
    if method == "startswith":
        return any(len(word) >= SHORTEST and name.startswith(word) for word in words)
    return method in ("get", "pop", "setdefault") and name in words


def _named(node: ast.AST | None) -> set[str]:
    """The names that an operand stands for: a string, a member of an enum, or those of a list or of a dict's keys."""
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) else set()
    if isinstance(node, ast.Attribute):
        of = node.value
        enum = isinstance(of, ast.Name) and of.id[:1].isupper()
        return {node.attr} if enum else _named(of) if node.attr == "name" else set()
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return set().union(*(_named(one) for one in node.elts))
    if isinstance(node, ast.Dict):
        return set().union(*(_named(key) for key in node.keys))
    return _named(node.value) if isinstance(node, ast.Starred) else set()


def find_places(kind: Kind) -> Iterator[Found]:
    """Every place of launcher/ that knows a name of this kind, and is not in that variant's own module."""
    for path in sorted((ROOT / "launcher").rglob("*.py")):
        file = path.relative_to(ROOT / "launcher").as_posix()
        names = frozenset(name for name in kind.names if not _is_own(file, name, kind))
        for node, function, name in find_names(ast.parse(path.read_text()), names):
            yield Found(file, getattr(node, "lineno", 0), function, name, ast.unparse(node)[:100])


def _is_own(file: str, name: str, kind: Kind) -> bool:
    return any(file == f"{folder}/{name}.py" or file.startswith(f"{folder}/{name}/") for folder in kind.own)


def _allows(entry: tuple[str, str, str], kind: str, place: Found) -> bool:
    of, pattern, name = entry
    return of == kind and name == place.name and fnmatch.fnmatch(place.file, pattern)


@pytest.mark.parametrize("kind", KINDS)
def test_no_module_but_its_own_knows_a_variant_by_its_name(kind):
    wrong = [
        f"launcher/{one.file}:{one.line} ({one.function}): {one.text}"
        for one in find_places(KINDS[kind])
        if not any(_allows(entry, kind, one) for entry in ALLOWED)
    ]
    assert not wrong, "\n".join([f"ask the spec of {kind} in place of the name:", *wrong])


@pytest.mark.parametrize("kind", KINDS)
def test_no_exception_is_left_of_a_place_that_is_gone(kind):
    found = list(find_places(KINDS[kind]))
    entries = [entry for entry in ALLOWED if entry[0] == kind]
    assert [entry for entry in entries if not any(_allows(entry, kind, one) for one in found)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_variant_has_a_module_of_its_own(kind):
    for name in KINDS[kind].names:
        folders = [ROOT / "launcher" / folder for folder in KINDS[kind].own]
        assert any((folder / f"{name}.py").is_file() or (folder / name).is_dir() for folder in folders), name


@pytest.mark.parametrize(
    "text",
    [
        "kind == 'dpo'",
        "'dpo' != plan.trainer",
        "kind in ('dpo',)",
        "kind is TrainerKind.dpo",
        "kind in {'dpo': 1}",
        "match kind:\n    case 'dpo':\n        pass",
        "match kind:\n    case 'sft' | 'dpo':\n        pass",
        "UNITS = {'dpo': 'pairs', 'kto': 'answers'}",
        "NAMES = ('dpo', 'kto')",
        "NAMES = [*('dpo', 'kto')]",
        "if a and (b or kind == 'dpo'):\n    pass",
        "units = UNITS['dpo']",
        "units = UNITS.get('dpo', 'rows')",
        "kind.startswith('dpo')",
        "kind.startswith(('kto', 'dp', 'dpo'))",
    ],
)
def test_a_comparison_or_a_list_would_be_found(text):
    assert [name for _, _, name in find_names(ast.parse(text), frozenset({"dpo", "kto"})) if name == "dpo"]


@pytest.mark.parametrize(
    "text",
    [
        "kind: str = 'dpo'",
        "find_method('dpo')",
        "losses = ('sigmoid', 'dpo')",
        "run.dpo == 1",
        "METHODS.find('dpo')",
        "name.startswith('dp')",
    ],
)
def test_a_default_a_look_up_and_an_attribute_are_no_such_place(text):
    assert not list(find_names(ast.parse(text), frozenset({"dpo", "kto"})))
