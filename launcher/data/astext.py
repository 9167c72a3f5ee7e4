"""Lists of turns that arrive as text: JSON in a string, or what Python prints for a list (`df.to_csv` writes that).

Nothing is evaluated: Python's text is read as literals only.
"""

import ast
import json
import re
from typing import Any, cast

from launcher.data.findings import BrokenRow

_TURN = r"""\{\s*['"](?:role|content|from|value|name|weight|tool_calls)['"]\s*:"""
_LOOKS = re.compile(rf"\s*(?:array\()?\[?\s*{_TURN}")
_BETWEEN = re.compile(r"\}\s*\n\s*\{")
"""numpy prints the items of an array on lines of their own without commas; inside a string a line break is printed as \\n."""
_VALUE = re.compile(r"\s*(?:array\()?[\[{].*[\]})]\s*$", re.DOTALL)
_PYTHON = re.compile(r"""\[\s*'.*'\s*\]$|\{\s*'\w+'\s*:.*\}$""", re.DOTALL)
JSON, PYTHON = "JSON in a string", "Python's text for a list"


def holds_turns(text: str) -> bool:
    """Whether the text begins as a list of turns does, or as one turn."""
    return _LOOKS.match(text) is not None


def holds_value(text: str) -> bool:
    """Whether the text begins and ends as a list or an object does."""
    return _VALUE.match(text) is not None


def is_python(text: str) -> bool:
    """Whether the whole text is what Python or numpy prints for a list of texts, or for an object."""
    return _PYTHON.match(text.strip()) is not None


def read_text(text: str, key: str) -> tuple[Any, str]:
    """The list that the text holds, and how it was written; BrokenRow if it cannot be read."""
    try:
        return json.loads(text), JSON
    except (ValueError, RecursionError):
        pass
    try:
        tree = ast.parse(_BETWEEN.sub("}, {", text.strip()), mode="eval")
        return ast.literal_eval(_NoArrays().visit(tree)), PYTHON
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise BrokenRow(
            "type",
            f"{key} is the text of a list of turns that cannot be read: it is neither JSON nor Python's text, or it is cut "
            "off; write the list itself",
        ) from None


class _NoArrays(ast.NodeTransformer):
    """array([...], dtype=object) becomes the list in it."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "array" and node.args:
            return cast("ast.AST", self.visit(node.args[0]))
        return node
