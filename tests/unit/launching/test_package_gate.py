"""Packages that a run needs, looked for before it starts."""

import sys
from pathlib import Path

import pytest

from launcher.__main__ import main


def test_a_run_on_this_machine_without_the_training_stack_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert main(["+experiment=tiny", "cluster=local"]) == 1
    error = capsys.readouterr().err
    assert "has no torch, datasets; pip install -e '.[train]'" in error
    assert not (tmp_path / "runs").exists()
    assert main(["+experiment=tiny", "cluster=local", "dry_run=true"]) == 0
