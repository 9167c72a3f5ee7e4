"""What `auto` means, and the keys of a job's run."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from launcher.api.job_file import DecidedHyperparameters, JobFile, decide, micro_batch, write_job_file

AUTO = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}


@pytest.mark.parametrize(
    ("rows", "epochs", "batch"),
    [(10, 10, 4), (33, 3, 4), (34, 3, 4), (4_000, 3, 8), (8_333, 3, 17), (20_000, 1, 40), (1_000_000, 1, 256), (4, 25, 4)],
)  # fmt: skip
def test_auto_is_decided_by_the_number_of_rows(rows, epochs, batch):
    found = decide(AUTO, rows)
    assert (found.n_epochs, found.batch_size, found.learning_rate_multiplier, found.beta) == (
        epochs,
        batch,
        1.0,
        None,
    )


def test_a_number_stays_as_it_is():
    given = {"n_epochs": 7, "batch_size": 3, "learning_rate_multiplier": 2, "beta": 0.5}
    assert decide(given, 100) == DecidedHyperparameters(
        n_epochs=7, batch_size=3, learning_rate_multiplier=2.0, beta=0.5
    )


@pytest.mark.parametrize(
    ("batch", "ranks", "micro"), [(4, 1, 4), (6, 1, 3), (7, 1, 1), (8, 8, 1), (16, 4, 4), (10, 1, 2)]
)
def test_the_rows_of_a_forward_pass_divide_a_ranks_share(batch, ranks, micro):
    assert micro_batch(batch, ranks) == micro


def test_the_file_has_the_decided_numbers_and_a_batch_that_the_ranks_divide(tmp_path: Path):
    job = JobFile(
        name="ftjob-1", runs_dir=tmp_path / "runs", cache_dir=tmp_path / "cache", settings=tmp_path / "m.yaml",
        learning_rate=1e-3, ranks=8, training=tmp_path / "t.jsonl", validation=None, seed=5, rows=100,
        decided=DecidedHyperparameters(n_epochs=2, batch_size=4, learning_rate_multiplier=0.5, beta=None),
    )  # fmt: skip
    write_job_file(tmp_path / "job.yaml", job)
    keys = yaml.safe_load((tmp_path / "job.yaml").read_text())
    assert keys["batch"] == {"global_batch_size": 8, "micro_batch_size": 1}
    assert keys["trainer"] == {
        "num_train_epochs": 2,
        "max_steps": -1,
        "eval_steps": None,
        "learning_rate": 5e-4,
    }
    assert keys["plugins"]["sharded_checkpoint"] == {"save_steps": 13, "keep_last": 3}
    decided = replace(job.decided, beta=0.2)
    write_job_file(tmp_path / "job.yaml", replace(job, decided=decided, validation=tmp_path / "v.jsonl"))
    keys = yaml.safe_load((tmp_path / "job.yaml").read_text())
    assert keys["trainer"]["beta"] == 0.2 and keys["trainer"]["eval_steps"] == "epoch"
