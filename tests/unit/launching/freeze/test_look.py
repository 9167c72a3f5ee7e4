"""Which files of a folder are kept as code."""

from launcher.launching.freeze.look import look


def test_a_link_that_leads_to_itself_is_left_out_and_reported(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "code.py").write_text("")
    seen = look(tmp_path, (), (), ())
    assert [path for path, *_ in seen.files] == [b"code.py"]
    assert seen.left_out == {"broken links": ["loop"]}
