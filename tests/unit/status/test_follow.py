"""The lines that `follow` and a launch print for events."""

from launcher.run.events.ranks import EarlyStopped
from launcher.status.follow import sentence_of


def test_an_early_stop_names_the_best_step_or_says_that_no_value_was_finite():
    values = {
        "attempt": 1,
        "time": "2026-01-01T00:00:00+00:00",
        "step": 30,
        "metric": "eval_loss",
        "patience": 3,
    }
    assert sentence_of(EarlyStopped(**values, best=1.5, best_step=20)) == (
        "stopped early at step 30: eval_loss was best at step 20"
    )
    assert sentence_of(EarlyStopped(**values, best=None, best_step=None)) == (
        "stopped early at step 30: eval_loss was always NaN or infinite"
    )
