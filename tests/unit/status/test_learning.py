"""What is said about how a run learned."""

from launcher.run.events.results import General
from launcher.run.history import History
from launcher.status.learning import general, learning_lines


def test_a_perplexity_without_a_measurement_before_training_is_shown_as_such():
    event = General(
        attempt=1, time="2026-01-01T00:00:00+00:00", when="during", step=10, perplexity=8.0, increase=0.0
    )
    found = general(History.of([event]))
    assert found is not None and found["before"] is None
    (line,) = learning_lines(None, found, [])
    assert line == ("general text", "perplexity not measured before training, 8 at step 10 (0 times)")
