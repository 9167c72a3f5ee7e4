"""The reference pages say what the code says."""

import pytest

from launcher.reference.markdown import table
from launcher.reference.pages import pages
from tests.support.paths import ROOT

PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_generates(name):
    written = (ROOT / "docs" / "reference" / f"{name}.md").read_text()
    assert written == PAGES[name], "run `make reference` and commit what it writes"


def test_no_page_is_left_of_something_that_is_gone():
    assert {path.stem for path in (ROOT / "docs" / "reference").glob("*.md")} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_every_row_says_what_its_subject_means(name):
    rows = [
        line for line in PAGES[name].splitlines() if line.startswith("| ") and not line.startswith("| ---")
    ]
    assert rows
    bare = [row for row in rows if row.endswith("|  |")]
    assert not bare, "write a docstring, or the help of an argument"


def test_a_cell_keeps_its_bars_and_lines():
    assert table(("a",), [("x | y\nz",)]).splitlines()[-1] == "| x \\| y z |"
