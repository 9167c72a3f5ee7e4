"""The report, looked at in a real browser: drawn, quiet, readable in light and dark, and deaf to what it quotes."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.run import RunDir
from tests.support import preloaded
from tests.support.browser import NEEDED, Browser
from tests.support.reports import HOSTILE, SECRET, TOKEN, fill_run, fill_sweep
from tests.support.runs import environment

RUN_CHARTS = {
    "loss",
    "learning-rate",
    "gradient-norm",
    "throughput",
    "utilisation",
    "data-wait",
    "memory",
    "timeline",
    "lengths-0",
    "other-train-0",
}
SWEEP_CHARTS = {"parallel", "importance", "progress", "curves"}
SIGHTS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        # In CI a missing browser is a failure: a skipped test would look like a passed one.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"needs {' and '.join(missing)}")
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The reports of a run and of a sweep, as the command writes them."""
    folder = tmp_path_factory.mktemp("reports")

    def launcher(*arguments: str) -> dict[str, str]:
        done = preloaded.run((*arguments, "--json"), folder, environment(HF_TOKEN=SECRET), timeout_s=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    typed = [
        "+experiment=llama8b_lora",
        "cluster=slurm",
        "resources.nodes=1",
        "resources.gpus_per_node=2",
        "dry_run=true",
    ]
    planned = launcher(*typed, "cluster.price_per_gpu_hour=3")
    run = RunDir(Path(planned["run_dir"]))
    fill_run(run)
    sweep = folder / "runs" / "search" / "sweep_2026-03-01_08-00-00"
    fill_sweep(sweep)
    return {
        "run": Path(launcher("report", run.name)["report"]),
        "sweep": Path(launcher("report", "search/sweep_2026-03-01_08-00-00")["report"]),
    }


@pytest.mark.parametrize(("kind", "charts"), [("run", RUN_CHARTS), ("sweep", SWEEP_CHARTS)])
@pytest.mark.parametrize(("scheme", "width"), SIGHTS)
def test_every_chart_is_drawn_and_every_text_readable(browser, pages, kind, charts, scheme, width):
    browser.open(pages[kind], scheme, width)
    assert browser.console() == []
    assert browser.requests() == [pages[kind].as_uri()]
    drawn = browser.drawn()
    assert set(drawn) == {f"chart-{name}" for name in charts}
    for name, chart in drawn.items():
        assert chart["width"] > 200 and chart["height"] > 100, name
        assert chart["marks"] > 6 and len(chart["texts"]) > 2, name
    assert browser.do("return document.documentElement.scrollWidth") == width
    browser.do("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    contrasts = browser.contrasts()
    assert len([one for one in contrasts if one[0] == "chart"]) > 20
    assert [one for one in contrasts if one[2] < 4.5] == []
    browser.picture(Path(f"{kind}_{scheme}_{width}.png"))


def test_the_charts_show_the_numbers_of_the_run(browser, pages):
    browser.open(pages["run"])
    drawn = browser.drawn()
    assert {"attempt 1", "attempt 2", "attempt 3"} <= set(drawn["chart-timeline"]["texts"])
    assert {"start-up", "training", "lost", "checkpoint"} <= set(drawn["chart-timeline"]["texts"])
    assert {"planned", "rank 0", "rank 1", "weights", "optimizer"} <= set(drawn["chart-memory"]["texts"])
    tiles = browser.do(
        "return [...document.querySelectorAll('.tile')].map((tile) => tile.innerText.split('\\n'))"
    )
    found = {label: (value, *note) for label, value, *note in tiles}
    assert found["step"] == ("300", "of 300") and found["attempts"] == ("3", "25 steps repeated")
    hours = float(found["GPU-hours"][0])
    assert hours == pytest.approx(
        2 * (590 + 230) / 3600, rel=1e-3
    )  # two GPUs, without the queue before the second job
    assert float(found["cost"][0]) == pytest.approx(3 * hours, abs=0.01) and found["cost"][1].startswith(
        "planned "
    )
    spans = browser.do("return document.querySelectorAll('#chart-timeline svg path').length")
    assert spans >= 3 + 3 + 2 + 5  # start-up and training of each, two losses, five checkpoints


def test_the_button_switches_between_light_and_dark_with_the_charts(browser, pages):
    browser.open(pages["run"], "light")
    look = (
        "return [getComputedStyle(document.body).backgroundColor, "
        "getComputedStyle(document.querySelector('#chart-loss svg text')).fill]"
    )
    light = browser.do(look)
    browser.do("document.getElementById('scheme').click()")
    dark = browser.do(look)
    assert light[0] != dark[0] and light[1] != dark[1]
    assert [one for one in browser.contrasts() if one[2] < 4.5] == []
    browser.do("document.getElementById('scheme').click()")
    assert browser.do(look) == light


def test_a_phone_that_is_turned_keeps_every_chart_on_its_screen(browser, pages):
    browser.open(pages["run"], width=840)
    browser.resize(1)  # as a browser does that makes a picture of the page
    browser.resize(390)
    browser.wait("return document.querySelector('#chart-loss svg').getBoundingClientRect().width < 390")
    assert browser.do("return [innerWidth, document.documentElement.scrollWidth]") == [390, 390]
    assert browser.console() == []


def test_the_charts_follow_the_systems_scheme_while_the_page_is_open(browser, pages):
    browser.open(pages["sweep"], "light")
    look = "return getComputedStyle(document.querySelector('#chart-curves svg text')).fill"
    light = browser.do(look)
    browser.emulate("dark")
    browser.wait(f"{look.replace('return ', 'return (')}) !== '{light}'")
    assert [one for one in browser.contrasts() if one[2] < 4.5] == []


def test_a_dark_page_prints_on_white_with_every_column(browser, pages):
    browser.open(pages["run"], "dark", width=794)  # A4 at 96 dots an inch
    browser.emulate("dark", media="print")
    browser.do("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.do("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tables = "[...document.querySelectorAll('section > .scroll')]"
    assert browser.do(f"return {tables}.length") >= 1
    assert browser.do(f"return {tables}.filter((one) => one.scrollWidth > one.clientWidth + 1).length") == 0
    assert browser.console() == []
    assert [one for one in browser.contrasts() if one[2] < 4.5] == []


def test_a_column_sorts_by_number_up_and_down_with_empty_cells_last(browser, pages):
    browser.open(pages["sweep"])
    column = "return [...document.querySelectorAll('#trials tbody tr')].map((row) => row.cells[2].textContent.trim())"
    head = "document.querySelectorAll('#trials th button')[2].click()"
    before = browser.do(column)
    browser.do(head)
    up = browser.do(column)
    browser.do(head)
    down = browser.do(column)
    numbers = sorted((text for text in before if text), key=float)
    empty = ["" for text in before if not text]
    assert len(numbers) > 10 and empty
    assert [float(text) for text in up if text] == [float(text) for text in numbers]
    assert up[len(numbers) :] == empty and down[len(numbers) :] == empty
    assert [text for text in down if text] == [text for text in up if text][::-1]
    assert (
        browser.do("return document.querySelectorAll('#trials th')[2].getAttribute('aria-sort')")
        == "descending"
    )


@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_what_a_page_quotes_stays_text(browser, pages, kind):
    browser.open(pages[kind])
    assert browser.do("return [typeof window.hacked, document.images.length, document.scripts.length]") == [
        "undefined",
        0,
        3,
    ]
    assert HOSTILE in browser.do("return document.body.innerText")
    # and were there markup, the page's own policy would not let it run
    browser.do(
        "const more = document.createElement('script'); more.textContent = 'window.hacked = 1'; document.body.append(more)"
    )
    assert browser.do("return typeof window.hacked") == "undefined"


def test_every_trial_leads_to_its_run_dir(browser, pages):
    browser.open(pages["sweep"])
    links = browser.do("return [...document.querySelectorAll('#trials tbody a')].map((link) => link.href)")
    assert links == [(pages["sweep"].parent / str(number)).as_uri() + "/" for number in range(24)]


def test_no_secret_is_in_the_page(pages):
    text = pages["run"].read_text()
    assert TOKEN not in text and SECRET not in text
    assert "token=[hidden], sent as [hidden]" in text
