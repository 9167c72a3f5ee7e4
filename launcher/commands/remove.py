"""python -m launcher remove RUN...: delete the folders of runs and sweeps that are over, of all dry runs, or what no run needs
of kept code and of what was sent to a cluster."""

import argparse
import sys
from pathlib import Path
from typing import TypedDict

from launcher.cli.verb import Verb
from launcher.errors import Exit, UsageError
from launcher.launching.ending import Removable, removable, remove
from launcher.launching.freeze.unused import remove_copies, unused_copies
from launcher.output import print_json, print_text
from launcher.remote.command import remove_sent_there
from launcher.remote.content import cache_here
from launcher.remote.unused import SentRemoved, find_unneeded, remove_unneeded
from launcher.sweep.ending import named_sweep, planned_sweeps, removable_sweep, remove_sweep
from launcher.sweep.folder import SweepDir
from launcher.units import plural, size


class RemovedRun(TypedDict):
    """A run or a sweep whose folder was deleted."""

    run: str
    """name/date_time; of a sweep name/sweep_date_time."""
    run_dir: str
    """Absolute path of the folder."""
    bytes: int
    """Size of its files."""


class CodeRemoved(TypedDict):
    """The copies of code that were removed from the cache."""

    copies: list[str]
    """The hash of the content of each; empty if there was none."""
    bytes: int
    """Size of their files."""


class RemoveResult(TypedDict):
    """The runs that were removed."""

    removed: list[RemovedRun]
    """Each of them; empty if there was none."""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="a run dir, name/date_time, or a name that only one run has; a sweep too",
    )
    parser.add_argument(
        "--planned", action="store_true", help="all dry runs, which were never submitted, instead of RUN"
    )
    parser.add_argument(
        "--code",
        action="store_true",
        help="copies of code in the cache that no run has any more, instead of RUN",
    )
    parser.add_argument(
        "--cache-dir", type=Path, metavar="DIR", help="with --code: cache_dir of the runs (default: as cache_dir)"
    )  # fmt: skip
    parser.add_argument(
        "--sent",
        metavar="SSH",
        help="what launches by ssh have sent to this cluster (as cluster.ssh) and no run there needs any more, instead of RUN; "
        "on the cluster itself: the folder cluster.ssh_dir",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    if [bool(options.runs), options.planned, options.code, options.sent is not None].count(True) != 1:
        raise UsageError(
            "name the runs to remove, or give --planned for all dry runs, or --code, or --sent, but one of these"
        )
    if options.sent is not None:
        return _remove_sent(options)
    if options.code:
        return _remove_code(options)
    runs_dir = options.runs_dir.absolute()
    sweeps = {reference: sweep for reference in options.runs if (sweep := named_sweep(runs_dir, reference))}
    chosen = (
        planned_sweeps(runs_dir)
        if options.planned
        else list({one.path: one for one in sweeps.values()}.values())
    )
    whole = {sweep.path: removable_sweep(sweep) for sweep in chosen}
    named = [reference for reference in options.runs if reference not in sweeps]
    found = [*removable(runs_dir, named, planned=options.planned), *whole.values()]
    if found and not options.yes and not _confirmed(found, as_json=options.json):
        print_text("nothing was removed")
        return Exit.FAILED
    for one in found:
        remove_sweep(SweepDir(one.run.path)) if one.run.path in whole else remove(one)
        if not options.json:
            print_text(f"removed {one.run.path}")
    if options.json:
        result: RemoveResult = {
            "removed": [
                {"run": one.run.name, "run_dir": str(one.run.path), "bytes": one.size} for one in found
            ]
        }
        print_json(result)
    elif not found:
        print_text(f"no dry runs under {options.runs_dir}")
    return Exit.OK


def _remove_code(options: argparse.Namespace) -> int:
    cache = (options.cache_dir or cache_here()).absolute() / "code"
    found = unused_copies(cache, options.runs_dir.absolute())
    total = sum(one.bytes for one in found)
    what = "copy of code" if len(found) == 1 else "copies of code"
    if found and not options.yes:
        if options.json or not sys.stdin.isatty():
            raise UsageError(
                f"{len(found)} {what} in {cache}, {size(total)}, would be deleted; confirm with --yes"
            )
        if not _agreed(f"delete {len(found)} {what} in {cache}, {size(total)}? [y/N] "):
            print_text("nothing was removed")
            return Exit.FAILED
    remove_copies(cache, found)
    if options.json:
        result: CodeRemoved = {"copies": [one.name for one in found], "bytes": total}
        print_json(result)
    elif found:
        print_text(f"removed {len(found)} {what}, {size(total)}")
    else:
        print_text(
            f"nothing to remove: each copy of code in {cache} is used by a run, or is less than a day old"
        )
    return Exit.OK


def _remove_sent(options: argparse.Namespace) -> int:
    base = Path(options.sent).absolute()
    if not (base / "sent").is_dir():
        more = [word for word, given in (("--yes", options.yes), ("--json", options.json)) if given]
        return remove_sent_there(options.sent, options.runs_dir.absolute(), more)
    found = find_unneeded(base, 0)
    what = f"{found.told()}, of {base}/sent"
    if (found.folders or found.files) and not options.yes:
        if options.json or not sys.stdin.isatty():
            raise UsageError(f"{what} would be deleted; confirm with --yes")
        if not _agreed(f"delete {what}? [y/N] "):
            print_text("nothing was removed")
            return Exit.FAILED
    removed = remove_unneeded(found, 0)
    if options.json:
        print_json(removed)
    elif found.folders or found.files:
        print_text(f"removed {what}")
    else:
        print_text(
            f"nothing to remove: all of {base}/sent is needed by a run, or was used less than a day ago"
        )
    return Exit.OK


def _confirmed(found: list[Removable], *, as_json: bool) -> bool:
    """The user's answer; UsageError if there is no terminal to ask on."""
    if as_json or not sys.stdin.isatty():
        raise UsageError(f"{plural(len(found), 'folder')} would be deleted permanently; confirm with --yes")
    for one in found:
        print_text(f"{one.run.path}  {one.state}, {size(one.size)}")
    return _agreed(f"permanently delete {plural(len(found), 'folder')} with checkpoints and models? [y/N] ")


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


VERB = Verb(
    line="delete the folders of runs and sweeps that are over, with their checkpoints and models",
    about="It asks first, unless --yes is given. A run that is queued or running is refused, and nothing outside of its folder "
    "is touched. A sweep goes as a whole, with all its trials. --planned deletes all dry runs. --code deletes the copies of "
    "code in the cache that no run dir has any more (see freeze). --sent deletes on a cluster what launches by ssh have sent "
    "there (cluster.ssh_dir/sent), no run there names, and nothing has used for a day; a launch does so after 14 days.",
    example="remove quickstart/2026-11-25_08-00-00\nremove tiny/sweep_2026-11-25_08-00-00\nremove --planned --yes\n"
    "remove --code\nremove --sent me@login.site.org --yes",
    add=_add,
    run=_run,
    prints={"": RemoveResult, "with --code": CodeRemoved, "with --sent": SentRemoved},
    group="runs",
)
