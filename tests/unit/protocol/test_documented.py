"""Every message, and every field of one, says what it means."""

import ast
import inspect
from types import ModuleType

import pytest

from launcher.protocol import ranks, to_agent, to_supervisor
from launcher.protocol.work import chats, requests, results, scores

MODULES = (to_agent, to_supervisor, ranks, requests, chats, results, scores)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_message_and_every_field_has_a_docstring(module: ModuleType):
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
            for place, one in enumerate(node.body):
                if isinstance(one, ast.AnnAssign):
                    assert isinstance(node.body[place + 1], ast.Expr), f"{node.name}.{ast.unparse(one)}"
