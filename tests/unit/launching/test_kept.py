"""That no other package brings row formats is remembered, and is forgotten when one is installed."""

import os
import subprocess
import sys

from tests.extending.foreign import install
from tests.support.runs import environment

LOOK = "import sys; from pathlib import Path; from launcher.launching.kept import foreign_formats as look; "


LOOK += "print(bool(look(Path(sys.argv[1]))), 'launcher.formats.registry' in sys.modules)"
LONG_AGO_S = 1_000_000_000


def test_only_a_new_distribution_makes_a_launch_read_the_entry_points_again(tmp_path):
    site, work, cache = tmp_path / "site", tmp_path / "work", tmp_path / "cache"
    install(site, "other", {}, {"another.group": {"a": "b"}})
    work.mkdir()
    os.utime(site, (LONG_AGO_S, LONG_AGO_S))

    def look() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", LOOK, str(cache)],
            env=environment(PYTHONPATH=f"{site}:{work}"),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    assert look() == ["False", "True"]
    (work / "a_file").write_text("")  # a working folder changes all the time
    assert look() == ["False", "False"]
    install(
        work,
        "mine",
        {"my_format": "from launcher.formats.text import SPEC"},
        {"launcher.formats": {"mine": "my_format"}},
    )
    assert look() == ["True", "True"]
