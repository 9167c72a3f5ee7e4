"""A verb about a run on a cluster: it runs there, with the code of the launcher that launched the run."""

import shutil
from collections.abc import Sequence

from launcher.remote.command import Command, run_there
from launcher.remote.connection import connect
from launcher.run.remote import REMOTE, RunElsewhere


def run_about(verb: str, words: Sequence[str], reference: str | None, away: RunElsewhere) -> int:
    """The exit code of the verb on the cluster; its arguments name the run by its folder there."""
    remote = away.remote
    connection = connect(remote.ssh)
    return run_there(
        connection,
        remote.python,
        Command(
            words=[*verb.split(), *words_there(words, reference, remote.run_dir)],
            folder=remote.base,
            path=remote.path,
            base=remote.base,
        ),
    )


def words_there(words: Sequence[str], reference: str | None, run_dir: str) -> list[str]:
    """The arguments with the run dir in place of the reference, and without --runs-dir."""
    found: list[str] = []
    rest, named = iter(words), False
    for word in rest:
        if word == "--runs-dir":
            next(rest, None)
        elif word.startswith("--runs-dir="):
            continue
        elif word == reference and not named:
            found.append(run_dir)
            named = True
        else:
            found.append(word)
    return found if named else [run_dir, *found]


def forget(away: RunElsewhere) -> None:
    """Removes the record of a run that was removed on the cluster, and the folder of the record if it is empty."""
    (away.folder / REMOTE).unlink(missing_ok=True)
    if not any(away.folder.iterdir()):
        shutil.rmtree(away.folder)
