"""Ctrl-C, at whatever moment of a command it comes."""

import subprocess
import sys
from pathlib import Path

import pytest

INTERRUPT = """
import runpy, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            {how}
sys.meta_path.insert(0, Interrupt())
sys.argv = ["launcher", *{arguments!r}]
runpy.run_module("launcher", run_name="__main__")
"""
RAISED = "raise KeyboardInterrupt"
IN_EXEC = "exec('raise KeyboardInterrupt')"
COVERED = """try: raise KeyboardInterrupt
            finally: None.flush()"""


@pytest.mark.parametrize(
    ("module", "arguments", "how"),
    [
        ("launcher.cli.run", ["list"], RAISED),
        ("launcher.run", ["list", "--json"], IN_EXEC),
        ("hydra", ["plan", "+experiment=quickstart"], RAISED),
        ("launcher.plan.memory", ["plan", "+experiment=quickstart"], COVERED),
    ],
)
def test_ctrl_c_during_an_import_is_one_line_and_exit_130(
    module: str, arguments: list[str], how: str, tmp_path: Path
):
    run = INTERRUPT.format(module=module, arguments=arguments, how=how)
    done = subprocess.run([sys.executable, "-c", run], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "launcher: ended by Ctrl-C\n")
