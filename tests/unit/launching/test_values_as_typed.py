"""Values with units, times and sizes as people type them: what is refused, with a way out that works, and what is warned of."""

import re
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.config.other_names import answer_option
from launcher.config.spelling import check_time, in_minutes
from launcher.errors import PlanError
from launcher.launching.explain import without_unit
from launcher.launching.plan_warnings import steep


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("resources.memory_gib", "64GB", "64"), ("resources.memory_gib", "65536 MiB", "64"), ("model.max_length", "2k", "2048"),
        ("data.max_samples", "10k", "10000"), ("data.eval_fraction", "5%", "0.05"), ("resources.ddp_timeout_s", "30m", "1800"),
        ("cluster.gpu_memory_gib", "80GiB", "80"),
    ],
)  # fmt: skip
def test_a_number_with_a_unit_is_answered_with_the_number_in_the_keys_unit(key: str, value: str, meant: str):
    assert without_unit(key, value).endswith(f"try {key}={meant}")


def test_a_value_without_a_known_unit_gets_no_guess():
    assert without_unit("resources.nodes", "two") == without_unit("resources.memory_gib", "64 apples") == ""


@pytest.mark.parametrize(
    ("time", "said"),
    [
        ("12", "12 minutes"),
        ("12:00", "12 minutes"),
        ("1:30", "1 hour and 30 minutes are resources.time=1:30:00"),
        ("1", "1 hour is resources.time=1:00:00"),
    ],
)
def test_a_time_that_is_shorter_than_it_looks_is_a_warning_with_the_hours_to_type(time: str, said: str):
    warning = in_minutes(time)
    assert warning
    assert said in warning
    way = re.findall(r"resources\.time=(\S+)", warning)[-1]
    assert in_minutes(check_time(way)) is None


@pytest.mark.parametrize(
    ("time", "meant"), [("2h", "2:00:00"), ("90m", "90:00"), ("3 days", "3-00:00:00"), ("45min", "45:00")]
)
def test_a_time_with_a_unit_is_answered_with_the_time_limit(time: str, meant: str):
    with pytest.raises(PlanError) as refused:
        check_time(time)
    assert str(refused.value).endswith(f"try resources.time={meant}") and check_time(meant)


@pytest.mark.parametrize("time", ["0", "0:00", "00:00:00", "0-0"])
def test_no_time_at_all_is_refused(time: str):
    with pytest.raises(PlanError, match="no limit"):
        check_time(time)


@pytest.mark.parametrize("time", ["04:00:00", "1-0", "2-12:00:00"])
def test_hours_and_days_need_no_warning(time: str):
    assert in_minutes(check_time(time)) is None


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("resources.spares=-1", "at least 0"), ("resources.hang_timeout_s=-1", "above 0"),
        ("resources.memory_gib=65536", "resources.memory_gib=64"),
        ("cluster.gpu_memory_gib=81920", "cluster.gpu_memory_gib=80"),
        ("cluster.sbatch.cpu-bind=none", "set cluster.srun.cpu-bind"),
        ("trainer.optim=adam", "did you mean adamw_torch?"), ("cluster.sbatch.wrap=ls", "take it out"),
        ("cluster.sbatch.wait=true", "follow"), ("cluster.nodes=2", "did you mean resources.nodes?"),
    ],
)  # fmt: skip
def test_a_value_out_of_its_range_is_refused_with_the_way_on(
    word: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main(["+experiment=tiny", "cluster=slurm", "dry_run=true", word]) == 1
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    ("word", "key"),
    [("-p", "cluster.sbatch.partition"), ("-N2", "resources.nodes"), ("-t", "resources.time")],
)
def test_a_short_option_of_sbatch_is_answered_with_its_key(word: str, key: str):
    assert key in str(answer_option(word))


def test_a_learning_rate_without_its_exponent_is_a_warning():
    assert "e-4" in str(steep(2.0))
    assert steep(2e-4) is None


def test_a_unit_in_a_file_of_ones_own_is_answered_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("extends: tiny\nresources: {memory_gib: 64GB}\n")
    assert main(["plan", "--config", "mine.yaml"]) == 1
    assert "without a unit; try resources.memory_gib=64" in capfd.readouterr().err
