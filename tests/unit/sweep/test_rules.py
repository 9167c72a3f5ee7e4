"""The sweep's pure rules: arrays, budgets, ranges, search spaces."""

import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.errors import ConfigError
from launcher.sweep.expand import search_lines
from launcher.sweep.settings import check_deadline, spent
from launcher.sweep.trials import make_arrays, ranges

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
ONE, TWO = {"nodes": "1"}, {"nodes": "2"}


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([4], "4"), ([0, 1, 2], "0-2"), ([0, 2, 3, 9], "0,2-3,9")]
)
def test_ranges_are_as_sbatch_reads_them(numbers, text):
    assert ranges(numbers) == text


def test_a_thousand_and_one_trials_fit_slurms_default_and_one_more_does_not():
    assert [array.spec for array in make_arrays([(n, ONE) for n in range(1001)], 1001, None)] == ["0-1000"]
    arrays = make_arrays([(n, ONE) for n in range(1003)], 1001, 8)
    assert [(array.script, array.first, array.spec) for array in arrays] == [
        ("job.sbatch", 0, "0-1000%8"),
        ("job_1.sbatch", 1001, "0-1%8"),
    ]


def test_trials_that_ask_for_other_resources_are_in_another_array():
    arrays = make_arrays([(0, ONE), (1, TWO), (2, ONE)], 1001, None)
    assert [(array.spec, array.shape) for array in arrays] == [("0,2", ONE), ("1", TWO)]


def budget(**limits: object) -> dict[str, object]:
    return {"trials": None, "gpu_hours": None, "deadline": None, **limits}


@pytest.mark.parametrize(
    ("limits", "begun", "gpu_s", "over"),
    [
        ({}, 10**6, [10.0**9], False),
        ({"trials": 3}, 2, [], False),
        ({"trials": 3}, 3, [], True),
        ({"gpu_hours": 1.0}, 9, [3599.0], False),
        ({"gpu_hours": 1.0}, 9, [1800.0, 1800.0], True),
        ({"deadline": "2026-11-25T12:00+00:00"}, 0, [], True),
        ({"deadline": "2026-11-25T13:00+00:00"}, 0, [], False),
        ({"deadline": "2026-11-25T12:30+01:00"}, 0, [], True),
    ],
)
def test_a_budget_is_spent_when_any_limit_is_reached(limits, begun, gpu_s, over):
    assert (spent(budget(**limits), begun, gpu_s, NOW) is not None) is over


def test_a_deadline_without_an_offset_is_local_time():
    local = (NOW + timedelta(hours=1)).astimezone().replace(tzinfo=None).isoformat()
    assert spent(budget(deadline=local), 0, [], NOW) is None
    assert spent(budget(deadline=local), 0, [], NOW + timedelta(hours=2)) is not None


def test_an_invalid_deadline_is_refused():
    with pytest.raises(ConfigError, match=r"sweep\.deadline=tomorrow .* 2026-11-30T08:00"):
        check_deadline("tomorrow")


def test_what_is_typed_replaces_a_key_of_the_search_space():
    search = {"seed": [1, 2], "trainer.optim": ["sgd", "it's"], "trainer.learning_rate": "interval(0,1)"}
    assert search_lines(search, ["seed=5", "+experiment=tiny"]) == [
        "trainer.optim=choice('sgd','it\\'s')",
        "trainer.learning_rate=interval(0,1)",
    ]


@pytest.mark.parametrize(
    "more",
    [
        ["plugins.lora.r=8,64,256"],
        ["+sweep=learning_rate", "trainer.eval_steps=50", "data.eval_fraction=0.1"],
    ],
)
def test_trials_whose_saves_take_longer_share_one_script_with_the_longest_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str]
):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"What comes after {n}?", "completion": f"The number {n + 1}"} for n in range(64)]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    def notice(*words: str) -> str:
        typed = [
            "+experiment=llama8b_lora",
            "data.path=rows.jsonl",
            "cluster=slurm",
            "dry_run=true",
            "freeze=false",
        ]
        assert main([*words, *typed]) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("submit with")]
        script = Path(lines[0].split()[-1])
        assert len(lines) == 1 and not (script.parent / "job_1.sbatch").exists()
        (found,) = re.findall(r"^#SBATCH --signal=B:USR1@(\d+)$", script.read_text(), re.MULTILINE)
        return found

    one = {r: notice(f"plugins.lora.r={r}") for r in (8, 64, 256)}
    assert one[8] != one[64]  # otherwise the trials need the same
    assert notice("-m", *more) == one[256 if "256" in more[0] else 64]
