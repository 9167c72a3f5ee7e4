"""Each kind of input with a fault in it: it is accepted or refused in a line, and nothing ends in a traceback or is run."""

import os
from pathlib import Path

import pytest

from tests.security.fuzz import fuzz_all

SAMPLE, WHOLE = 500, 12_000


def check(folder: Path, inputs: int, *, again: bool) -> None:
    results = fuzz_all(folder, inputs, again=again)
    print(f"{sum(one.inputs for one in results):,} inputs of {len(results)} kinds")
    assert {one.surface.name: one.faults for one in results if one.faults} == {}
    assert sum(one.inputs for one in results) >= inputs
    assert list(folder.rglob("planted")) == []


def test_a_sample_of_all_inputs_ends_in_no_traceback(tmp_path):
    check(tmp_path, SAMPLE, again=bool(os.environ.get("CI")))


@pytest.mark.long
def test_ten_thousand_inputs_end_in_no_traceback(tmp_path):
    check(tmp_path, WHOLE, again=False)
