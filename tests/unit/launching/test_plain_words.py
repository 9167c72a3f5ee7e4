"""Texts in a file of --config-dir that YAML reads as numbers or switches."""

from pathlib import Path

import pytest

from launcher.errors import ConfigError
from launcher.launching.compose import compose


@pytest.fixture
def site(tmp_path: Path):
    """Composes a run with a cluster file of that line."""

    def site(line: str, *, name: str = "mine", head: str = "defaults: [schema, _self_]"):
        (tmp_path / "cluster").mkdir(exist_ok=True)
        (tmp_path / "cluster" / f"{name}.yaml").write_text(f"{head}\nkind: slurm\n{line}\n")
        return compose(["+experiment=tiny", "--config-dir", str(tmp_path), "cluster=mine"])[0].config.cluster

    return site


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("env: {X: 017}", 'cluster.env.X: YAML reads 017 without quotes as 15; quote it: X: "017"'),
        ("env: {X: 1:30}", "1:30 without quotes as 90"),
        ("env: {X: 1_000}", "1_000 without quotes as 1000"),
        ("env: {X: 1.10}", "1.10 without quotes as 1.1"),
        ("env: {X: 1e3}", "1e3 without quotes as 1000.0"),
        ("env: {X: true}", "true without quotes as True"),
        ("env: {X: off}", "off without quotes as False"),
        ("env: {ON: x}", 'the key ON without quotes as true; quote it: "ON": ...'),
        ("gpu_type: 3e2", "cluster.gpu_type: YAML reads 3e2"),
        ("host_suffix: 01", "cluster.host_suffix: YAML reads 01"),
        (
            "modules: [gcc, 1.10]",
            'cluster.modules[1]: YAML reads 1.10 without quotes as 1.1; quote it: "1.10"',
        ),
        ("setup: [yes]", "cluster.setup[0]"),
        ("srun: {cpu-bind: 1:2}", "1:2 without quotes as 62"),
        ("sbatch: {nice: 010}", "010 without quotes as 8"),
        ("sbatch: {account: 012345}", "012345 without quotes as 5349"),
        ("sbatch: {time-min: 10:00:00}", 'quote it: time-min: "10:00:00"'),
        ("sbatch: {comment: off}", 'quote it: comment: "off", or write false'),
        ("sbatch: {requeue: yes}", 'quote it: requeue: "yes", or write true'),
        ("time_limits: {gpu: 24:00:00}", 'quote it: gpu: "24:00:00"'),
        ("container: {image: 1e3}", "cluster.container.image"),
    ],
)
def test_a_text_that_yaml_reads_as_something_else_is_refused_with_its_line(site, line: str, says: str):
    with pytest.raises(ConfigError) as refusal:
        site(line)
    assert (
        says in str(refusal.value)
        and "mine.yaml:3: " in str(refusal.value)
        and "\n" not in str(refusal.value)
    )


def test_texts_in_quotes_and_numbers_and_switches_of_their_own_kind_are_not(site):
    cluster = site(
        'env: {X: "017", Y: 12, Z: a}\nsbatch: {nice: 10, exclusive: true, qos: null}\nprice_per_gpu_hour: 1_000\n'
        'gpus_per_node: 0x8\nmodules: [gcc/12, "1.10"]\ntime_limits: {gpu: "24:00:00"}'
    )
    assert cluster.env == {"X": "017", "Y": "12", "Z": "a"} and cluster.modules == ["gcc/12", "1.10"]
    assert (cluster.price_per_gpu_hour, cluster.gpus_per_node) == (1000, 8)


def test_a_file_from_which_the_chosen_one_starts_is_read_too(site, tmp_path: Path):
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "base.yaml").write_text(
        "defaults: [schema, _self_]\nkind: slurm\nenv: {X: 017}\n"
    )
    with pytest.raises(ConfigError, match=r"base\.yaml:3: cluster\.env\.X"):
        site("gpus_per_node: 4", head="defaults: [base, _self_]")
