"""The table of published figures in docs/measured/published_memory.md says what the planner says today."""

import pytest

from tests.support.paths import ROOT
from tests.support.published import PUBLISHED, summary, table

DOC = ROOT / "docs" / "measured" / "published_memory.md"
BEGIN, END = "<!-- published -->\n", "\n<!-- end -->"


def test_the_table_of_published_figures_is_true_to_the_planner(request: pytest.FixtureRequest):
    before, _, rest = DOC.read_text().partition(BEGIN)
    written, _, after = rest.partition(END)
    now = f"{table()}\n\n{summary()}"
    if request.config.getoption("--golden-update"):
        DOC.write_text(f"{before}{BEGIN}{now}{END}{after}")
        return
    assert written == now, "pytest tests/unit/plan/test_published.py --golden-update writes it anew"


def test_at_least_ten_published_figures_are_compared_with_the_planner():
    assert len(PUBLISHED) >= 10
    assert len({one.row for one in PUBLISHED}) == len(PUBLISHED)


def test_figures_of_the_same_kind_of_trainer_come_out_as_their_authors_report_them():
    told = [one for one in PUBLISHED if not one.source.startswith(("litgpt", "LongLoRA"))]
    assert all(abs(one.off) < 0.15 for one in told if one.off is not None)
    assert all(one.agrees for one in told if one.limit)
