"""python -m tests.fakecuda [--quick] [--page] [--top N] [WORD ...]: plans compared with lifetimes on a fake CUDA device.

No kernel runs, and nothing is measured on a GPU. Exit code 1 if a plan misses its bar. --page writes
docs/measured/fake_cuda.md. WORD: only the cases whose name has every WORD.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from tests.fakecuda import guard
from tests.fakecuda.cases import FULL, QUICK, write_data
from tests.fakecuda.hold import ALONE, BELOW, TOGETHER, Held, Room, hold
from tests.fakecuda.serve import Server
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "measured" / "fake_cuda.md"
HEAD = (
    "case", "plan GiB", "seen GiB", "difference", "device", "plan", "more", "device, fixed segments", "plan", "more",
)  # fmt: skip
MARK, END = "<!-- table -->\n", "<!-- end -->\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Plans against lifetimes on a fake CUDA device; no kernel runs."
    )
    parser.add_argument("--quick", action="store_true", help="only the cases of CI")
    parser.add_argument("--page", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--top", type=int, default=0, help="also the largest kinds of tensors at the peak")
    parser.add_argument("words", nargs="*", help="only cases whose name has all of these")
    options = parser.parse_args()
    if why := guard.missing():
        print(f"MISSED: {why}")
        return 1
    chosen = QUICK if options.quick else FULL
    cases = [case for case in chosen if all(word in case.name.split() for word in options.words)]
    server, found, lines = (
        Server(),
        list[Held](),
        [row(*HEAD), f"|{'---|' * len(HEAD)}"],
    )
    print("\n".join(lines))
    with tempfile.TemporaryDirectory() as name:
        write_data(Path(name))
        for case in cases:
            held = hold(case, server, Path(name), options.top)
            if held.error:
                print(f"MISSED: {case.name}: {held.error}")
                return 1
            found.append(held)
            lines.append(
                row(
                    case.name,
                    f"{held.tensors:.2f}",
                    f"{held.seen:.2f}",
                    f"{held.off:+.1%}{'' if held.met else ' **miss**'}",
                    *cells(held.grown),
                    *cells(held.fixed),
                )
            )
            print("\n".join([lines[-1], *held.found["held"]]), flush=True)
    server.close()
    verdict = judge(found)
    print(verdict)
    if options.page:
        before, _, after = PAGE.read_text().partition(MARK)
        PAGE.write_text(
            "\n".join(
                [
                    f"{before}{MARK}{lines[0]}",
                    *lines[1:],
                    "",
                    f"{verdict}.",
                    f"{END}{after.partition(END)[2]}",
                ]
            )
        )
    return (
        0 if found and all(held.met and held.grown.off >= 0 and held.fixed.off >= 0 for held in found) else 1
    )


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def cells(room: Room) -> tuple[str, str, str]:
    """What a device needs, what the plan says of it, and the difference."""
    return f"{room.needed:.2f}", f"{room.planned:.2f}", f"{room.off:+.1%}{' **false fit**' * (room.off < 0)}"


def judge(found: list[Held]) -> str:
    """The verdict line."""
    if not found:
        return "MISSED: no case has such a name"
    offs = [abs(held.off) for held in found]
    met = sum(held.met for held in found)
    return (
        f"{'met' if met == len(found) else 'MISSED'}: {met} of {len(found)} plans within {ALONE:.0%} of the lifetimes on one "
        f"rank and {TOGETHER:.0%} on several, none more than {BELOW:.0%} below; {statistics.median(offs):.1%} in the median, "
        f"{max(offs):.1%} at worst. With segments that grow {_over([held.grown for held in found])}; with fixed ones "
        f"{_over([held.fixed for held in found])}"
    )


def _over(rooms: list[Room]) -> str:
    """How many plans are enough, and by how much they say more than is needed."""
    offs = sorted(room.off for room in rooms)
    enough = sum(off >= 0 for off in offs)
    return (
        f"{enough} of {len(rooms)} plans are enough for the run, by {statistics.median(offs):.1%} in the median and "
        f"{offs[-1]:.1%} at most"
    )


if __name__ == "__main__":
    sys.exit(main())
