"""A fuzz of all that the launcher reads: python -m tests.security.fuzz --inputs 10000

Each input is a good one with a fault in it, made by hypothesis from a seed, so that a failure comes again. What counts is an
exception that no caller expects, a call that does not end, an escape that reaches the terminal, and a file called `planted`.
"""

import argparse
import os
import random
import resource
import signal
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from launcher.errors import LauncherError
from tests.security.broken import mutated
from tests.security.calls import Hangs, where
from tests.security.surfaces import surfaces
from tests.security.surfaces.base import Surface, Traceback

LIMIT_S = 60
_MOST_MEMORY = 12 << 30
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
"""Values of JSON."""


@dataclass
class Result:
    """The outcomes of the inputs of one surface."""

    surface: Surface
    inputs: int = 0
    refused: int = 0
    faults: dict[str, str] = field(default_factory=dict[str, str])
    """The kind and place of an exception -> what it said, and the first input that has raised it."""


def fuzz(surface: Surface, inputs: int, *, again: bool) -> Result:
    """Tries that many inputs; with `again` they are the same in each call."""
    result = Result(surface)

    @settings(
        max_examples=inputs, derandomize=again, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )  # fmt: skip
    @given(seed=st.integers(0, 2**64 - 1), odd=st.lists(VALUES, min_size=1, max_size=3))
    def try_one(seed: int, odd: list[object]) -> None:
        content, how = mutated(surface.good, surface.suffix, random.Random(seed), odd)
        result.inputs += 1
        place, _, said = _read(surface, content, result).partition(": ")
        if place:
            result.faults.setdefault(
                place, f"{said.splitlines()[0] if said else ''}; {how}: {content[:200]!r}"
            )

    surface.read(surface.good)  # the good one is accepted
    try_one()
    return result


def _read(surface: Surface, content: bytes, result: Result) -> str:
    """The kind and the place of an unexpected exception; empty if the input was accepted or refused."""
    before = signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(LIMIT_S)
    try:
        surface.read(content)
    except (LauncherError, *surface.refuses):
        result.refused += 1
    except Traceback as error:
        return str(error)
    except (Exception, Hangs) as error:
        return where(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return ""


def _hangs(number: int, frame: object) -> None:
    del number, frame
    raise Hangs("did not end")


def fuzz_all(folder: Path, inputs: int, *, again: bool, only: str = "") -> list[Result]:
    """Tries `inputs` in all, shared by what a call costs."""
    found = [one for one in surfaces(folder) if only in one.name]
    share = inputs / sum(1 / one.cost for one in found)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (_MOST_MEMORY, limits[1])
    )  # a file without an end ends in MemoryError
    before = Path.cwd()
    os.chdir(folder)  # what a shell would run there, leaves its file there
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [fuzz(one, max(1, round(share / one.cost) + 1), again=again) for one in found]
    finally:
        os.chdir(before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 if every input was accepted or refused."""
    parser = argparse.ArgumentParser(prog="python -m tests.security.fuzz", description=__doc__)
    parser.add_argument(
        "--inputs", type=int, default=10_000, metavar="N", help="inputs in all (default: 10000)"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="surfaces with this in their names")
    parser.add_argument("--again", action="store_true", help="the same inputs in each call")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        results = fuzz_all(Path(name), options.inputs, again=options.again, only=options.only)
        planted = list(Path(name).rglob("planted"))
    for one in results:
        print(
            f"{one.surface.name:<36}  {one.inputs:>6} inputs  {one.refused:>6} refused  {len(one.faults):>3} faults"
        )
        for fault, example in one.faults.items():
            print(f"    {fault}\n        {example}")
    faults = sum(len(one.faults) for one in results) + len(planted)
    print(f"{sum(one.inputs for one in results):,} inputs, {faults} faults, {len(planted)} files planted")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
