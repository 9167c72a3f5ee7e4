"""python -m tests.matrix: tries each cell without an outcome, and writes the table into docs/measured/matrix.md."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.matrix.cells import all_cells, write_data
from tests.matrix.table import make_table
from tests.matrix.try_cell import to_line, try_cell
from tests.support.paths import ROOT
from tests.support.warm import Warm


def main(arguments: list[str]) -> int:
    """The exit code: 1 where a cell failed."""
    options = _parser().parse_args(arguments)
    known = _read(options.results)
    chosen = [cell for cell in all_cells() if all(word in cell.name.split() for word in options.only)]
    left = [
        cell
        for cell in chosen
        if options.again or known.get(cell.name, {}).get("result") not in ("passed", "refused")
    ]
    end = time.monotonic() + 60 * options.minutes
    options.results.parent.mkdir(parents=True, exist_ok=True)
    _share_operators(options.cache)
    warm = Warm()
    try:
        for number, cell in enumerate(left, start=1):
            if time.monotonic() > end:
                break
            with tempfile.TemporaryDirectory(prefix="matrix_") as name:
                folder = Path(name)
                write_data(folder)
                outcome = try_cell(cell, folder, options.cache, warm)
            with options.results.open("a") as results:
                results.write(to_line(outcome) + "\n")
            print(
                f"{number}/{len(left)}  {outcome.cell:<55} {outcome.result:<8} {outcome.seconds:5.1f} s  {outcome.note[:160]}",
                flush=True,
            )
    finally:
        warm.close()
    known = _read(options.results)
    table = make_table(known)
    (ROOT / "docs" / "measured" / "matrix.md").write_text(table)
    print(table)
    return 1 if any(known.get(cell.name, {}).get("result") == "failed" for cell in chosen) else 0


def _share_operators(cache: Path) -> None:
    """DeepSpeed's operators take a minute to compile: those of the tests are taken."""
    operators = Path.home() / ".cache" / "launcher_tests" / "torch_extensions"
    operators.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / "torch_extensions").exists():
        (cache / "torch_extensions").symlink_to(operators)


def _read(path: Path) -> dict[str, dict]:
    """The newest outcome of each cell."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {line["cell"]: line for line in lines}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="WORD", help="cells with all of these: dpo lora zero3 2"
    )
    parser.add_argument("--again", action="store_true", help="those that passed or were refused as well")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no cell after so many")
    cache = Path.home() / ".cache" / "launcher_tests"
    parser.add_argument("--results", type=Path, default=cache / "matrix.jsonl", help="file of outcomes")
    parser.add_argument("--cache", type=Path, default=cache / "matrix", help="cache_dir of the runs")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
