"""The table of published figures in docs/measured/published_memory.md says what the planner says today."""

import pytest

from tests.benchmarks import published_time
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


def test_the_page_of_published_throughput_is_true_to_the_planner(request: pytest.FixtureRequest):
    page, (begin, end) = published_time.PAGE, (published_time.BEGIN, published_time.END)
    before, _, rest = page.read_text().partition(begin)
    written, _, after = rest.partition(end)
    if request.config.getoption("--golden-update"):
        page.write_text(f"{before}{begin}{published_time.page_table()}{end}{after}")
        return
    assert written == published_time.page_table(), (
        "python -m tests.benchmarks.published_time --page writes it anew"
    )


def test_estimates_of_time_are_near_published_throughput():
    held_out, fitted = published_time.scores()[:2]
    assert held_out.rows + fitted.rows >= 40
    assert held_out.median <= published_time.BAR and fitted.median <= 0.04


def test_at_least_ten_published_figures_are_compared_with_the_planner():
    assert len(PUBLISHED) >= 10
    assert len({one.row for one in PUBLISHED}) == len(PUBLISHED)


def test_figures_of_the_same_kind_of_trainer_come_out_as_their_authors_report_them():
    told = [one for one in PUBLISHED if not one.cause]
    assert len(told) >= 6
    assert all(abs(one.off) < 0.15 for one in told if one.off is not None)
    assert all(one.agrees for one in told if one.limit)
