"""Sends what a cluster does not have yet, and shows the progress on a terminal."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from launcher.errors import ClusterError
from launcher.output import print_text, say
from launcher.remote.connection import SshConnection
from launcher.remote.content import Blob, Tree, missing
from launcher.remote.talk import Talk, lost, talk
from launcher.units import plural, size

_EVERY_S = 0.5
_PIECE = 1 << 20
_TAKEN: Mapping[str, Any] = {"wrong": Sequence[str]}


class Progress:
    """Shows which share of the bytes is done, only on a terminal."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._shown = total, 0, time.monotonic()

    def add(self, count: int) -> None:
        """Adds bytes that are done."""
        self._done += count
        if sys.stderr.isatty() and time.monotonic() - self._shown > _EVERY_S:
            self._shown = time.monotonic()
            share = self._done / self._total
            print_text(f"\r{share:4.0%} of {size(self._total)}", end="\r", file=sys.stderr, flush=True)


def send(
    connection: SshConnection, python: str, base: str, trees: Sequence[Tree], there: Mapping[str, Any]
) -> None:
    """Sends the folders that the cluster lacks; ClusterError if a file changes meanwhile, or the connection is lost.

    The transfer of a file that was sent in part continues where it ended. `there` is the answer to `look`.
    """
    new = [tree for tree in trees if tree.name not in there["trees"]]
    if not new:
        return
    blobs = missing(new, there["have"], there["trees"])
    total = sum(blob.size - begun for blob, begun in blobs.items())
    if total > there["free"]:
        raise ClusterError(
            f"cluster.ssh_dir: {base} on {connection.ssh} has {size(there['free'])} free, and {size(total)} would be sent; "
            "free some space there, or choose another folder"
        )
    request = {
        "do": "take",
        "base": base,
        "files": [{"sha": blob.sha, "size": blob.size, "offset": begun} for blob, begun in blobs.items()],
        "trees": [
            {
                "name": tree.name,
                "files": [(name, blob.sha) for name, blob in tree.files.items()],
                "archive": tree.archive.sha if tree.archive else None,
            }
            for tree in new
        ],
    }
    if blobs:
        say(f"sending {plural(len(blobs), 'file')}, {size(total)}, to {connection.ssh}")
    with talk(connection, python, request) as one:
        try:
            _write(one, blobs, total)
        except BrokenPipeError:
            one.answer(_TAKEN)  # raises the error of the cluster
            raise lost(connection.ssh) from None
        wrong = set(one.answer(_TAKEN)["wrong"])
    if changed := [str(blob.path) for blob in blobs if blob.sha in wrong]:
        raise ClusterError(
            f"{changed[0]} changed while it was sent; nothing was launched; repeat the command"
        )


def _write(one: Talk, blobs: Mapping[Blob, int], total: int) -> None:
    progress = Progress(total)
    for blob, begun in blobs.items():
        left = blob.size - begun
        with blob.path.open("rb") as file:
            file.seek(begun)
            while left:
                piece = file.read(min(_PIECE, left))
                if not piece:
                    raise ClusterError(
                        f"{blob.path} became shorter while it was sent; nothing was launched; repeat the command"
                    )
                one.send.write(piece)
                left -= len(piece)
                progress.add(len(piece))
    one.send.flush()
