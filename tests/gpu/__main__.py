"""python -m tests.gpu OUT: checks a machine with a GPU, piece by piece, and continues when interrupted (howto/gpu_check.md)."""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tests.gpu.page import gather, make_page
from tests.gpu.pieces import LIMIT_S, Piece, all_pieces
from tests.gpu.place import Place, Skipped, variables
from tests.support.paths import ROOT

MARK = "GPU_KIT_PIECE"
"""Environment variable of every process of a piece."""
PUBLISHED = ROOT / "docs" / "measured" / "gpu.md"


def main(arguments: list[str]) -> int:
    """The exit code: 1 where a piece failed."""
    options = _parser().parse_args(arguments)
    out = options.out.resolve()
    if options.publish:
        return publish(out, options.publish)
    place = Place(out=out, device=options.device)
    if options.piece is not None:
        return work(place, options.piece)
    chosen = [one for one in all_pieces() if all(word in one.title.split() for word in options.only)]
    if not chosen:
        print(f"no piece has all of {' '.join(options.only)}; --list shows them", file=sys.stderr)
        return 1
    if options.list:
        print("\n".join(f"{status(place, one) or '-':<8} {one.title}" for one in chosen))
        return 0
    if wrong := _unusable(place):
        print(wrong, file=sys.stderr)
        return 1
    (out / "device").write_text(place.device)
    first = next(all_pieces())
    left = [one for one in chosen if options.again or status(place, one) not in ("done", "skipped")]
    if first not in left and status(place, first) != "done":
        left.insert(0, first)
    end = time.monotonic() + 60 * options.minutes
    for number, one in enumerate(left, start=1):
        if number > 1 and time.monotonic() + one.usual_s > end:
            print(f"{len(left) - number + 1} pieces are left; the same command goes on", flush=True)
            break
        begun = time.monotonic()
        child(place, one)
        said = status(place, one)
        print(
            f"{number}/{len(left)}  {one.title:<50} {said:<8} {time.monotonic() - begun:6.1f} s", flush=True
        )
        write(place)
        if one == first and said != "done":
            print(json.loads((place.out / "pieces" / one.file).read_text())["why"], file=sys.stderr)
            return 1
    write(place)
    print(f"{out / 'gpu.md'} and {out / 'gpu.json'} are written")
    return 1 if any(status(place, one) == "failed" for one in chosen) else 0


def status(place: Place, piece: Piece) -> str | None:
    """done, failed or skipped; None for a piece that has not ended."""
    file = place.out / "pieces" / piece.file
    return json.loads(file.read_text())["status"] if file.is_file() else None


def child(place: Place, piece: Piece) -> None:
    """Works on the piece in a process of its own, which is ended with all of its own after LIMIT_S."""
    line = [
        sys.executable,
        "-m",
        "tests.gpu",
        str(place.out),
        "--device",
        place.device,
        "--piece",
        piece.title,
    ]
    log = place.out / "pieces" / f"{piece.file.removesuffix('.json')}.log"
    (place.out / "pieces" / piece.file).unlink(missing_ok=True)
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    with log.open("w") as file:
        process = subprocess.Popen(
            line, cwd=ROOT, env={**variables(), MARK: mark}, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            record(place, piece, {"status": "failed", "why": f"not done after {LIMIT_S:g} s"})
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            end_all_of(mark)
    if status(place, piece) is None:
        tail = " ".join(log.read_text(errors="replace").split())[-300:]
        record(
            place, piece, {"status": "failed", "why": f"ended with exit code {process.returncode}: {tail}"}
        )


def end_all_of(mark: str) -> None:
    """Ends every process with the piece's mark in its environment: a run's supervisor, ranks and compilers have sessions of
    their own. A process that begins its program has no environment for a moment, so all are looked at twice."""
    for pause in (0.0, 0.1):
        time.sleep(pause)
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and f"{MARK}={mark}\0".encode() in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)


def work(place: Place, title: str) -> int:
    """Works on one piece in this process and writes its result."""
    piece = next(one for one in all_pieces() if one.title == title)
    begun = time.monotonic()
    try:
        outcome: dict[str, Any] = {"status": "done", "figures": piece.work(place)}
    except Skipped as reason:
        outcome = {"status": "skipped", "why": str(reason)}
    except Exception as error:
        traceback.print_exc()
        outcome = {"status": "failed", "why": " ".join(f"{type(error).__name__}: {error}".split())[:500]}
    except SystemExit as error:  # the benchmarks end so
        outcome = {"status": "failed", "why": " ".join(str(error).split())[-500:]}
    record(place, piece, {**outcome, "seconds": round(time.monotonic() - begun, 1)})
    return 0


def record(place: Place, piece: Piece, outcome: dict[str, Any]) -> None:
    """Writes the result of a piece; an interruption never leaves half of it."""
    file = place.out / "pieces" / piece.file
    part = file.with_suffix(".part")
    part.write_text(json.dumps({"group": piece.group, "name": piece.name, **outcome}, indent=1))
    part.replace(file)


def write(place: Place) -> None:
    """Writes OUT/gpu.json and OUT/gpu.md."""
    results = gather(place.out, place.device)
    (place.out / "gpu.json").write_text(json.dumps(results, indent=1))
    (place.out / "gpu.md").write_text(make_page(results))


def publish(out: Path, page: Path) -> int:
    """Writes the page, docs/measured/gpu.md, from a folder of results; only figures of a GPU belong there."""
    file = out / "gpu.json"
    if not file.is_file():
        print(f"{file} is not there; python -m tests.gpu {out} makes it", file=sys.stderr)
        return 1
    results = json.loads(file.read_text())
    machine = results["groups"].get("machine", {}).values()
    if results["device"] != "cuda" or not any(one["status"] == "done" for one in machine):
        print(f"{file} has no figures of a GPU, and docs/measured holds nothing else", file=sys.stderr)
        return 1
    page.write_text(make_page(results))
    print(f"{page} is written")
    return 0


def _unusable(place: Place) -> str | None:
    """One line if the path is not a folder, cannot be written, or holds results of another device."""
    try:
        (place.out / "pieces").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{place.out} cannot hold results ({error.strerror}); name another folder"
    file = place.out / "device"
    before = file.read_text() if file.is_file() else place.device
    if before == place.device:
        return None
    return f"{place.out} holds results of --device {before}; name another folder"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of results, models and runs")
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu only tries the kit itself"
    )
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="WORD", help="pieces with all of these: smoke qlora"
    )
    parser.add_argument(
        "--minutes", type=float, default=1e9, help="begin only pieces that usually end within that time"
    )
    parser.add_argument("--again", action="store_true", help="pieces that are done or were skipped as well")
    parser.add_argument("--list", action="store_true", help="show the pieces and how they ended")
    parser.add_argument(
        "--publish",
        type=Path,
        nargs="?",
        const=PUBLISHED,
        metavar="PAGE",
        help="write docs/measured/gpu.md from OUT",
    )
    parser.add_argument("--piece", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a piece ends with the kit
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # `| head`
        os._exit(141)
