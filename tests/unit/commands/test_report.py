"""What a report says: which lines count, what it warns of, what it hides, and what it never overwrites."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from launcher.commands.report import read_facts
from launcher.report.bars import memory
from launcher.report.concerns import find_concerns
from launcher.report.curves import smooth, stayed, thin
from launcher.report.facts import RunFacts, find_attempts, what_came_next
from launcher.report.html import as_script_data, conceal, known_secrets, render_page
from launcher.report.importance import find_importance
from launcher.report.page import Page
from launcher.report.run_page import make_run_page
from launcher.report.sweep_page import make_sweep_page
from launcher.run import RunDir
from launcher.run.course import Course
from launcher.run.events.checkpoints import SaveFailed
from launcher.run.events.supervisor import Finished
from launcher.status.learning import overfitting
from launcher.sweep.read import Sweep, Trial, read_sweep
from tests.support.events import events_of, metrics_of
from tests.support.paths import ROOT
from tests.support.reports import HOSTILE, fill_run, fill_sweep


@pytest.fixture
def facts(tmp_path: Path) -> RunFacts:
    """The run that tests/support/reports.py describes, without a plan."""
    run = RunDir(tmp_path / "runs" / "tiny" / "2026-03-01_08-00-00")
    run.path.mkdir(parents=True)
    fill_run(run)
    return RunFacts(
        name=run.name,
        run_dir=str(run.path),
        plan={},
        events=run.read_events(),
        metrics=run.read_metrics(),
        data_check=[],
        status={"state": "finished"},
        overrides=[],
        export=[],
        written="2026-03-01T10:00:00+00:00",
        version="1",
    )


def line(step: int, **more: Any) -> dict[str, Any]:
    return {"time": "2026-03-01T08:00:00+00:00", "step": step, **more}


# Memory


def test_the_memory_chart_has_the_size_of_a_gpu(facts: RunFacts):
    plan = {"memory": {"weights": 4.0, "total": 4.0}}
    chart = memory(dataclasses.replace(facts, plan=plan, gpu_memory_gib=80.0))
    assert chart is not None and chart.spec["limit"] == 80.0


def test_the_size_of_a_gpu_is_that_of_the_runs_configuration(facts: RunFacts):
    run = RunDir(Path(facts.run_dir))
    run.plan.write_text("{}")
    assert read_facts(run).gpu_memory_gib is None
    run.config.write_text("cluster: {gpu_memory_gib: 80}")
    assert read_facts(run).gpu_memory_gib == 80


# Curves


def test_lines_of_a_notice_that_are_not_shown_are_counted(facts: RunFacts):
    time = "2026-03-01T08:00:00+00:00"
    failed = [SaveFailed(attempt=1, time=time, step=step, error="disk full") for step in range(8)]
    (notice,) = find_concerns(dataclasses.replace(facts, events=failed))
    assert notice.items[0] == "step 0: disk full" and notice.items[5:] == ["and 3 more"]


def test_steps_that_were_done_again_count_once_as_they_came_last():
    first = [line(step, loss=1.0) for step in range(1, 8)]
    again = [line(step, loss=2.0) for step in range(5, 10)]
    record = stayed([*first, *again])
    assert [one["step"] for one in record.training] == list(range(1, 10))
    assert [one["loss"] for one in record.training] == [1.0] * 4 + [2.0] * 5
    assert record.repeated == 3


def test_work_that_was_lost_and_never_done_again_is_not_shown():
    record = stayed(
        [*(line(step, loss=1.0) for step in range(1, 9)), line(8, eval_loss=3.0), line(5, loss=2.0)]
    )
    assert [one["step"] for one in record.training] == [1, 2, 3, 4, 5]
    assert record.evaluation == []


def test_a_plugins_line_before_its_steps_own_counts_and_of_two_the_later():
    def steps(last: int, value: float, first: int = 1) -> list[dict[str, Any]]:
        return [
            one for step in range(first, last + 1) for one in (line(step, norm=value), line(step, loss=1.0))
        ]

    record = stayed([*steps(6, 1.0), *steps(5, 2.0, first=4)])
    assert [(one["step"], one["norm"]) for one in record.measured] == [
        (1, 1.0),
        (2, 1.0),
        (3, 1.0),
        (4, 2.0),
        (5, 2.0),
    ]


def test_of_two_evaluations_of_a_step_the_later_counts():
    record = stayed([line(4, eval_loss=3.0), line(4, eval_loss=2.0)])
    assert [one["eval_loss"] for one in record.evaluation] == [2.0]


def test_a_thinned_curve_keeps_its_ends_and_every_spike():
    curve = [(float(x), 1.0) for x in range(100_000)]
    curve[54_321] = (54_321.0, 99.0)
    curve[777] = (777.0, -5.0)
    found = thin(curve)
    assert len(found) <= 1600
    assert {curve[0], curve[-1], curve[54_321], curve[777]} <= set(found)
    assert found == sorted(found)


def test_a_smoothed_constant_is_that_constant_from_its_first_point():
    assert smooth([(float(x), 3.0) for x in range(100)]) == [
        (float(x), pytest.approx(3.0)) for x in range(100)
    ]
    assert smooth([(float(x), 3.0) for x in range(10)]) is None


# Attempts


def test_attempts_tell_what_was_lost_and_what_was_done(facts: RunFacts):
    attempts = find_attempts(facts)
    assert [(one.from_step, one.to_step, one.lost_steps) for one in attempts] == [
        (0, 110, 10),
        (100, 215, 15),
        (200, 300, 0),
    ]
    assert [one.how for one in attempts] == ["crashed", "crashed", "finished"]
    assert what_came_next(attempts)[0] == "started again in the same job after 1 min 20 s"
    assert what_came_next(attempts)[1] == "queued again; started as job 78 after 1 min 50 s"
    assert attempts[0].kept - attempts[0].trained == pytest.approx(2 * 100 - 2)
    assert [step for one in attempts for _, step in one.saves] == [50, 100, 150, 200, 250, 300]


def test_a_run_that_is_still_training_has_lost_nothing_yet(facts: RunFacts):
    cut = [event for event in facts.events if not isinstance(event, Finished)]
    last = find_attempts(dataclasses.replace(facts, events=cut))[-1]
    assert (last.how, last.lost_steps, last.to_step) == (None, 0, 300)


def test_an_evaluation_is_no_training_on_the_time_line(facts: RunFacts):
    def at(second: int) -> str:
        return f"2026-03-01T08:{second // 60:02}:{second % 60:02}+00:00"

    told = [
        (0, "started", {"attempt": 1, "job_id": "1", "host": "n1"}),
        (10, "training", {"attempt": 1, "step": 0, "total_steps": 10}),
        (10, "working", {"attempt": 1, "on": "evaluate"}),
        (15, "evaluated", {"attempt": 1, "when": "before", "step": 0, "eval_loss": 2.0}),
        (20, "stepping", {"attempt": 1, "step": 1, "restart_s": 20}),
        (40, "working", {"attempt": 1, "on": "evaluate"}),
        (50, "evaluated", {"attempt": 1, "when": "during", "step": 5, "eval_loss": 1.0}),
        (70, "working", {"attempt": 1, "on": "export"}),
        (80, "exported", {"attempt": 1, "path": "/m", "step": 10}),
        (81, "finished", {"attempt": 1}),
    ]
    events = events_of([{"time": at(second), "event": name, **more} for second, name, more in told])
    metrics = metrics_of([{"time": at(20 + 5 * step), "step": step, "loss": 1.0} for step in range(1, 11)])
    page = make_run_page(dataclasses.replace(facts, events=events, metrics=metrics))
    (chart,) = [one for one in page.charts if one.id == "timeline"]
    spans = [(one["kind"], one["from"], one["to"]) for one in chart.spec["spans"]]
    assert sorted(spans, key=lambda one: one[1]) == [
        ("start-up", 0, 10), ("evaluation", 10, 15), ("start-up", 15, 20), ("training", 20, 40), ("evaluation", 40, 50),
        ("training", 50, 70), ("export", 70, 80), ("training", 80, 81),
    ]  # fmt: skip
    assert chart.table is not None
    assert dict(zip(chart.table.columns, chart.table.rows[0], strict=True)) == {
        "attempt": 1, "start-up": 15.0, "training": 41.0, "evaluation": 15.0, "sample answer": 0, "export": 10.0, "lost": 0,
    }  # fmt: skip


def test_an_attempt_that_was_stopped_for_good_lost_what_was_not_saved(facts: RunFacts):
    cut = [event for event in facts.events if not isinstance(event, Finished)]
    events = [event.values() for event in cut if getattr(event, "step", None) != 300]
    events.append(
        {
            "time": "2026-03-01T08:15:40+00:00",
            "event": "stopped",
            "attempt": 3,
            "exit_code": 9,
            "reason": "no progress",
        }
    )
    last = find_attempts(dataclasses.replace(facts, events=events_of(events)))[-1]
    assert (what_came_next([last])[0], last.lost_steps) == ("stopped", 50)


# What it warns of


def titles(facts: RunFacts, *events: dict[str, Any], **status: Any) -> list[str]:
    facts = dataclasses.replace(
        facts, events=[*facts.events, *events_of(events)], status={**facts.status, **status}
    )
    return [notice.title for notice in find_concerns(facts)]


def test_what_status_warns_of_is_said_with_its_first_word_as_the_title(facts: RunFacts):
    warning = overfitting(Course(facts.metrics))
    assert warning is not None
    facts = dataclasses.replace(facts, status={"state": "finished", "warnings": [warning]})
    (notice,) = find_concerns(facts)
    assert notice.title == "Overfitting"
    assert notice.text.startswith("The evaluation loss rose from 1.2000 at step 120 to 1.8400 at step 280")


def test_a_generation_server_and_the_waiting_for_it_are_told(facts: RunFacts):
    server = {"host": "n3", "url": "http://10.0.0.3:1", "answers": True, "lost": 2, "wait_share": 0.4}
    planned = {"mode": "server", "nodes": 1, "gpus": 8, "command": ["serve"]}
    lost = {
        "time": "2026-03-01T09:00:00+00:00",
        "event": "server_lost",
        "attempt": 1,
        "host": "n3",
        "reason": "killed",
        "next": "n3",
    }
    page = make_run_page(
        dataclasses.replace(
            facts, plan={"generation": planned}, status={**facts.status, "generation": server},
            events=[*facts.events, *events_of([lost])],
        )
    )  # fmt: skip
    sections = {section.id: section for section in page.sections}
    assert (
        dict(sections["machine"].facts)["generation server"]
        == "n3: the ranks wait for it 40 % of the time; lost 2 times"
    )
    assert "server_lost" in str(sections["events"].tables)
    assert "a server on 1 node × 8 GPUs" in render_page(page)


def test_forgetting_is_named_where_general_text_became_harder(facts: RunFacts):
    forgotten = {"before": 20.0, "now": 30.0, "step": 300, "increase": 1.5}
    assert titles(facts, general=forgotten) == ["Forgetting"]
    assert titles(facts, general={**forgotten, "now": 20.2, "increase": 1.01}) == []


def test_an_early_stop_is_no_fault(facts: RunFacts):
    stopped = {"step": 80, "metric": "eval_loss", "best": 1.5, "best_step": 50, "patience": 3}
    assert titles(facts, early_stopped=stopped) == ["Stopped early, at step 80"]


def test_the_error_comes_first_and_faults_that_were_survived_are_named(facts: RunFacts):
    found = titles(
        facts,
        {"time": "t", "event": "slow", "attempt": 3, "host": "n4", "relative": 0.5},
        {"time": "t", "event": "diverged", "attempt": 3, "step": 9, "why": "loss is nan"},
        {
            "time": "t",
            "event": "reward_failed",
            "attempt": 3,
            "step": 9,
            "function": "my.reward",
            "why": "timeout",
            "answers": 2,
        },
        {"time": "t", "event": "save_failed", "attempt": 3, "step": 9, "error": "No space left on device"},
        {"time": "t", "event": "checkpoint_broken", "attempt": 3, "reason": "a bit is flipped"},
        error="rank 1 on n2: it broke",
    )
    assert found[0] == "What went wrong"
    assert set(found[1:]) == {
        "Slow hosts",
        "The loss diverged",
        "Reward functions failed",
        "1 checkpoint could not be written",
        "1 checkpoint found incomplete or damaged",
    }


# What it says of the data

CHECKED = {
    "path": "/data/train.jsonl",
    "verdict": "ok",
    "rows": 100,
    "formats": {"messages": 100},
    "findings": [],
    "counts": {},
    "tokens": {
        "basis": "estimated: 4 bytes a token", "examples": 100, "max_length": 512, "histogram": {"<=128": 100},
        "truncated_share": 0.0, "trained_share": 0.731,
    },
}  # fmt: skip
READ = {
    "time": "2026-03-01T08:00:20+00:00", "event": "data", "attempt": 1, "set": "train", "tokenized": True, "seconds": 1.0,
    "folder": "/cache", "rows": 100, "examples": 100, "tokens": 10_000, "trained_tokens": 4_670, "cut": 3, "left_out": 1,
    "lengths": {"<=256": 96, "<=1024": 4},
}  # fmt: skip


def test_the_shares_and_lengths_are_those_that_the_ranks_counted_once_they_are_known(facts: RunFacts):
    def data(*events: dict[str, Any]) -> tuple[dict[str, str], Any]:
        told = dataclasses.replace(facts, data_check=[CHECKED], events=[*facts.events, *events_of([*events])])
        (section,) = [one for one in make_run_page(told).sections if one.id == "data"]
        return dict(section.facts), section.charts[0]

    before, guessed = data()
    assert before["trained on"] == "73.1 % of the tokens (estimated: 4 bytes a token)"
    assert guessed.spec["values"] == [100] and "Lengths are estimated: 4 bytes a token." in guessed.summary
    after, counted = data(READ)
    assert after["trained on"] == "46.7 % of the tokens"
    assert after["read for train"].startswith(
        "100 rows of data in 100 sequences of 10,000 tokens in all, 4,670 of them"
    )
    assert dict(zip(counted.spec["rows"], counted.spec["values"], strict=True)) == READ["lengths"]
    assert "4 % are longer than 512 tokens" in counted.summary and "estimated" not in counted.summary


# Pages of runs of which little is known


@pytest.mark.parametrize(
    "events", [[], [{"time": "2026-03-01T08:00:00+00:00", "event": "planned", "attempt": 0}]]
)
def test_a_run_that_has_not_begun_has_a_page(facts: RunFacts, events: list[dict[str, Any]]):
    page = make_run_page(
        dataclasses.replace(facts, events=events_of(events), metrics=[], status={"state": "pending"})
    )
    assert page.charts == []
    assert "<title>tiny/2026-03-01_08-00-00 · pending</title>" in render_page(page)


def test_numbers_of_other_measures_get_charts_of_their_own(facts: RunFacts):
    metrics = [line(step, loss=1.0, rewards_margin=0.1 * step) for step in range(1, 5)]
    metrics += [line(step, adapter_norm=1.0 * step) for step in (2, 4)]  # by a plugin, in lines of its own
    charts = make_run_page(dataclasses.replace(facts, metrics=metrics_of(metrics))).charts
    assert {"rewards margin", "adapter norm"} <= {chart.title for chart in charts}


CLASSIFIED = {
    "event": "classified", "attempt": 1, "time": "2026-03-01T08:00:00+00:00", "step": 8, "rows": 10, "accuracy": 0.8,
    "macro_f1": 0.75, "calibration_error": 0.1, "classes": ["late", "lost"], "confusion": [[0, 0, 6], [0, 1, 2], [1, 1, 2]],
    "by_class": [{"label": "late", "rows": 8, "answered": 6, "right": 6, "precision": 1.0, "recall": 0.75, "f1": 0.857}],
    "bins": [[0.6, 0.5, 4], [0.9, 1.0, 6]],
}  # fmt: skip


def test_a_classifier_has_a_confusion_matrix_its_classes_and_a_chart_of_its_calibration(facts: RunFacts):
    before = {**CLASSIFIED, "step": 0, "accuracy": 0.2}
    page = make_run_page(dataclasses.replace(facts, events=events_of([before, CLASSIFIED])))
    section = next(one for one in page.sections if one.id == "classes")
    assert ("accuracy", "80.0%, from 20.0% at step 0") in section.facts
    matrix = dict(section.tables)["Confusion matrix"]
    assert matrix.columns == ("class", "answered late", "answered lost")
    assert matrix.rows == [("late", 6, 2), ("lost", 0, 2)]
    assert [chart.id for chart in section.charts] == ["calibration"]
    assert "Confusion matrix" in render_page(page)


def test_of_many_classes_the_report_lists_the_most_frequent_errors(facts: RunFacts):
    many = {
        **CLASSIFIED,
        "classes": [f"c{at}" for at in range(40)],
        "confusion": [[0, 0, 6], [3, 1, 2], [1, 2, 4]],
    }
    page = make_run_page(dataclasses.replace(facts, events=events_of([many])))
    section = next(one for one in page.sections if one.id == "classes")
    assert dict(section.tables)["Most frequent errors"].rows == [("c1", "c2", 4), ("c3", "c1", 2)]


def test_a_nan_loss_leaves_a_gap_and_no_broken_json(facts: RunFacts):
    metrics = [line(1, loss=1.0), line(2, loss=float("nan")), line(3, loss=float("inf")), line(4, loss=0.5)]
    text = render_page(make_run_page(dataclasses.replace(facts, metrics=metrics_of(metrics))))
    assert '"points":[[1,1.0],[4,0.5]]' in text


# Text and secrets


def test_the_chart_library_is_the_published_one_that_the_docs_name():
    digest = hashlib.sha256(
        (ROOT / "launcher" / "report" / "page" / "echarts.min.js").read_bytes()
    ).hexdigest()
    assert f"sha256 `{digest}`" in (ROOT / "docs" / "guide" / "report.md").read_text()


def test_a_string_cannot_end_the_script_that_holds_it():
    text = as_script_data({"name": f"{HOSTILE}<!--\u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"name": f"{HOSTILE}<!--\u2028"}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("login with hf_abcdefghijklmnopqrstuv", "login with [hidden]"),
        ("WANDB_API_KEY=0123456789abcdef failed", "WANDB_API_KEY=[hidden] failed"),
        ("https://me:pass@host/x", "https://[hidden]@host/x"),
        ("my own word-of-honour here", "my own [hidden] here"),
        ("num_tokens=256, tokens: 5", "num_tokens=256, tokens: 5"),
        (
            "revision 0123456789abcdef0123456789abcdef01234567",
            "revision 0123456789abcdef0123456789abcdef01234567",
        ),
    ],
)
def test_what_is_or_looks_like_a_secret_is_hidden(text: str, clean: str):
    secrets = known_secrets(
        {"MY_TOKEN": "word-of-honour", "SHORT_TOKEN": "my", "TOKENIZERS_PARALLELISM": "revision"}
    )
    assert conceal(text, secrets) == clean


# Sweeps


def test_the_key_that_decides_is_the_most_important_by_either_measure():
    trials = [
        ({"a": f"{a}", "b": f"{b}", "c": c}, (a - 3) ** 2 + 0.01 * b)
        for a in range(8)
        for b in range(3)
        for c in "xy"
    ]
    few = [({**values, "c": "x"}, float(values["a"])) for values, _ in trials[:10]]
    by_densities = find_importance(["a", "b", "c"], trials, "minimize")
    by_ranks = find_importance(["a", "b", "c"], few, "minimize")
    assert by_densities and by_ranks
    assert next(iter(by_densities.values)) == next(iter(by_ranks.values)) == "a"
    assert "PED-ANOVA" in by_densities.measure and "rank correlation" in by_ranks.measure
    assert by_ranks.values["a"] == pytest.approx(1.0) and "c" not in by_ranks.values


def test_a_choice_that_decides_is_found_without_numbers():
    trials = [
        ({"kind": kind, "n": str(n)}, float(kind == "good")) for kind in ("good", "bad") for n in range(4)
    ]
    found = find_importance(["kind", "n"], trials, "maximize")
    assert found and found.values["kind"] == pytest.approx(1.0) and found.values["n"] == pytest.approx(0.0)


def test_a_sweep_without_a_finished_trial_has_a_page_with_its_first_error(tmp_path: Path):
    folder = tmp_path / "runs" / "s" / "sweep_1"
    fill_sweep(folder, trials=4)
    for outcome in (folder / "outcomes").iterdir():
        outcome.write_text(json.dumps({"state": "failed", "error": "no such file", "intermediate": {}}))
    page = make_sweep_page(read_sweep(folder), links={}, written="2026-03-01T08:00:00+00:00", version="1")
    assert (page.state, page.charts) == ("failed", [])
    assert page.notices[0].items == ["trial 0 and 3 more: no such file"]
    assert "no such file" in render_page(page)


def sweep_of(values: list[dict[str, str]], space: dict, *held: float) -> Sweep:
    """A sweep of finished trials with these values."""
    start, end = "2026-03-01T08:00:00+00:00", "2026-03-02T08:00:00+00:00"
    trials = [
        Trial(
            number=at, overrides=one, state="finished", value=float(at), intermediate={}, run_dir=None, error=None,
            started=start, ended=end, held_s=held[at] if held else 60.0,
        )
        for at, one in enumerate(values)
    ]  # fmt: skip
    return Sweep(
        name="s/sweep_1", path=Path("s"), objective="loss", direction="minimize", sampler="grid", pruner="none",
        parameters=list(space), space=space, trials=trials,
    )  # fmt: skip


def page_of(sweep: Sweep) -> Page:
    return make_sweep_page(sweep, links={}, written="2026-03-01T08:00:00+00:00", version="1")


def test_an_axis_has_the_scale_that_was_searched_and_only_the_values_of_a_grid():
    space = {
        "rate": {"low": 1e-4, "high": 5e-4, "log": True},
        "decay": {"low": 0.01, "high": 1.0, "log": False},
        "r": {"choices": ["4", "16", "8"]},
    }
    values = [
        {"rate": rate, "decay": decay, "r": r}
        for rate, decay, r in (("1e-4", "0.01", "4"), ("3e-4", "0.5", "16"), ("2e-4", "1.0", "8"))
    ]
    (chart,) = [one for one in page_of(sweep_of(values, space)).charts if one.kind == "parallel"]
    axes = {one["name"]: one for one in chart.spec["axes"]}
    assert (axes["rate"]["type"], axes["decay"]["type"]) == ("log", "value")
    assert (axes["r"]["type"], axes["r"]["categories"]) == ("category", ["4", "8", "16"])


def test_a_few_trials_have_no_importance_and_the_page_says_why():
    space = {"r": {"choices": [str(r) for r in range(8)]}}
    for count, found in ((3, False), (8, True)):
        page = page_of(sweep_of([{"r": str(r)} for r in range(count)], space))
        assert any(chart.id == "importance" for chart in page.charts) is found
        (section,) = [one for one in page.sections if one.id == "comparison"]
        assert ("needs 8 finished trials; there are 3" in section.text) is not found


def test_waiting_does_not_count_as_time_of_trials():
    page = page_of(sweep_of([{"r": "1"}, {"r": "2"}], {"r": {"choices": ["1", "2"]}}, 60.0, 120.0))
    (tile,) = [one for one in page.tiles if one.label == "time of trials"]
    assert (tile.value, tile.note) == ("3 min", "within 1 d, waiting included")
    (trials,) = [one for one in page.sections if one.id == "trials"]
    ((_, table),) = trials.tables
    assert [row[table.columns.index("time, s")] for row in table.rows] == [60.0, 120.0]


# The command


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path / "runs" / "tiny" / "2026-03-01_08-00-00")
    run.path.mkdir(parents=True)
    run.plan.write_text("{}")
    fill_run(run)
    return run


def test_a_report_is_written_into_the_run_dir_and_renewed(run: RunDir, cli):
    assert cli("report", "tiny").returncode == 0
    (run.path / "report.html").write_text((run.path / "report.html").read_text().replace("<h1>", "<h1>old "))
    done = cli("report", "--json")
    told = json.loads(done.stdout)
    assert told["run"] == run.name and told["report"] == str(run.path / "report.html") and told["charts"] >= 7
    text = (run.path / "report.html").read_text()
    assert "<h1>old " not in text and told["bytes"] == len(text.encode()) < 1_500_000
    assert sorted(path.name for path in run.path.iterdir()) == [
        "events.jsonl",
        "metrics.jsonl",
        "plan.json",
        "report.html",
    ]


def test_a_file_that_is_no_report_is_kept_unless_forced(run: RunDir, cli, tmp_path: Path):
    mine = tmp_path / "thesis.html"
    mine.write_text("years of work")
    done = cli("report", "--out", str(mine))
    assert done.returncode == 1
    assert "exists and was not written by this command" in done.stderr and "--force" in done.stderr
    assert mine.read_text() == "years of work"
    assert cli("report", "--out", str(mine), "--force").returncode == 0
    assert "years of work" not in mine.read_text()


def test_a_place_that_cannot_be_written_is_one_line(run: RunDir, cli, tmp_path: Path):
    for out, said in ((tmp_path, "is a folder"), (tmp_path / "none" / "x.html", "does not exist")):
        done = cli("report", "--out", str(out))
        assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_name_means_the_sweep_whose_trial_is_its_newest_run(tmp_path: Path, cli):
    folder = tmp_path / "runs" / "s" / "sweep_1"
    fill_sweep(folder, trials=6)
    assert json.loads(cli("report", "s", "--json").stdout)["sweep"] == "s/sweep_1"  # no trial has a plan yet
    (folder / "2" / "plan.json").write_text("{}")
    assert json.loads(cli("report", "s", "--json").stdout)["sweep"] == "s/sweep_1"
    assert json.loads(cli("report", "s/sweep_1/2", "--json").stdout)["run"] == "s/sweep_1/2"
    assert cli("report", "nobody").returncode == 1
