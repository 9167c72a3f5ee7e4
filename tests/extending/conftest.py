"""Fixtures of the tests that extend the launcher."""

from pathlib import Path

import pytest

from tests.extending.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A copy of this project's tree, to make a change in."""
    return Tree(tmp_path)
