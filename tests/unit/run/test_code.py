"""code.json: written with any name of a file, and refused in one line if it is damaged."""

import json

import pytest

from launcher.errors import RunError
from launcher.run.code import Code, read_code, write_code


def test_a_name_that_is_no_utf8_comes_back(tmp_path):
    code = Code(roots=(), changed=("odd\udcff.py",))
    write_code(tmp_path / "code.json", code)
    assert read_code(tmp_path / "code.json") == code


@pytest.mark.parametrize(
    "content",
    [
        "x", None, [], {"roots": [1], "changed": [], "skipped": []}, {"roots": "ab", "changed": [], "skipped": []},
        {"roots": [], "changed": [], "skipped": [], "packages": [1]}, {"roots": [], "changed": [], "skipped": [], "commit": 5},
    ],
)  # fmt: skip
def test_a_damaged_record_is_one_line(tmp_path, content):
    path = tmp_path / "code.json"
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match="is not the record of a run's code") as raised:
        read_code(path)
    assert "\n" not in str(raised.value)
