"""What a run has written, as the API's events."""

import json
import math

from launcher.api.progress import MetricEvents
from launcher.run import RunDir
from launcher.run.metrics import Evaluation, Logged


def test_a_validation_loss_that_is_not_finite_is_null_in_the_event_because_json_has_no_nan(tmp_path):
    run = RunDir(tmp_path)
    run.log(Logged(step=1, loss=2.5, total_steps=4))
    run.log(Evaluation(step=2, eval_loss=math.nan))
    run.log(Evaluation(step=4, eval_loss=0.5))
    found = MetricEvents(run).read()
    assert [one.data.get("valid_loss") for one in found] == [None, None, 0.5]
    assert found[1].message == "Step 2: validation loss=nan"
    assert [json.dumps(one.data, allow_nan=False) for one in found]
