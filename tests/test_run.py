"""The files of a run dir."""

from launcher.run import RunDir


def test_an_event_after_a_torn_line_is_not_lost(tmp_path):
    run = RunDir(tmp_path)
    run.add_event("planned", attempt=0)
    with run.events.open("a") as events:
        events.write('{"event": "star')
    run.add_event("started", attempt=1)
    assert [event["event"] for event in run.read_events()] == ["planned", "started"]


def test_an_event_may_hold_any_line_end_of_unicode(tmp_path):
    run = RunDir(tmp_path)
    run.add_event("crashed", attempt=1, error="a\u2028b\u0085c\nd")
    assert run.read_events()[0]["error"] == "a\u2028b\u0085c\nd"


def test_a_run_that_was_stopped_says_why(tmp_path):
    run = RunDir(tmp_path)
    run.add_end(1, 137)
    run.add_event("crashed", attempt=2, rank=3, host="n7", error="no such file")
    run.add_end(2, 3)
    run.add_end(3, 0)
    first, _, second, last = run.read_events()
    assert "SIGKILL" in first["reason"]
    assert second["reason"] == "rank 3 on n7: no such file"
    assert last["event"] == "finished"
