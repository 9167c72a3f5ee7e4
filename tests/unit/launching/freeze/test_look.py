"""Which files of a folder are kept as code."""

from launcher.launching.freeze.look import look


def test_a_link_that_leads_to_itself_is_left_out_and_reported(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "code.py").write_text("")
    seen = look(tmp_path, (), (), ())
    assert [path for path, *_ in seen.files] == [b"code.py"]
    assert seen.left_out == {"broken links": ["loop"]}


def test_a_run_dir_is_no_code_wherever_it_lies(tmp_path):
    files = ("plan.json", "config.yaml", "events.jsonl", "logs/1/rank_0.log", "fault.py")
    for place, some in (("old_runs/tiny/1", files), ("mine", files[:2])):
        for name in some:
            (tmp_path / place / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place / name).write_text("")
    assert [path for path, *_ in look(tmp_path, (), (), ()).files] == [b"mine/config.yaml", b"mine/plan.json"]
