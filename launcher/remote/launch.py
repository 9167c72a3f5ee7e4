"""A command with overrides that runs on the login node of a cluster: launch, plan and others that compose a configuration."""

import hashlib
import json
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from launcher.errors import ClusterError, ConfigError
from launcher.launching.elsewhere import ConfigElsewhere
from launcher.launching.own_file.expand import expand as expand_file
from launcher.launching.typed import expand
from launcher.output import say
from launcher.remote.command import Command, run_there
from launcher.remote.connection import SshConnection, connect
from launcher.remote.content import CodeFolders, Hashes, cache_here, gather_code
from launcher.remote.paths import SENT, Sent, gather_paths
from launcher.remote.send import send
from launcher.remote.talk import LOOKED, LOOKED_WHOLE, ask
from launcher.remote.words import flags_of, overrides_there
from launcher.run.kinds import fits
from launcher.run.remote import RemoteRun, list_remote, read_remote, write_remote

_RUN = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*){1,2}")
"""Names that become folders on this machine: name/date_time, name/sweep_date_time, or that of a trial."""
PYTHON = "python3"
"""The interpreter on the login node if cluster.python is not set."""


def run_with_overrides(
    verb: str, words: Sequence[str], overrides: Sequence[str], away: ConfigElsewhere, *, launches: bool
) -> int:
    """The exit code of the verb on the cluster. What it needs is sent first. If it `launches` a run, that is recorded here."""
    cfg = away.cfg
    python, base = str(_text(cfg, "cluster.python") or PYTHON), str(_text(cfg, "cluster.ssh_dir"))
    runs_dir = Path(expand("runs_dir", str(_text(cfg, "runs_dir")), os.environ)).absolute()
    connection = connect(away.ssh)
    cache = cache_here()
    hashes = Hashes(cache)
    code = gather_code(Path.cwd(), away.config_dir, (runs_dir, cache), cache, hashes)
    sent = gather_paths(cfg, hashes, os.environ, expand_file(overrides).arguments)
    hashes.save()
    trees = [*code.trees, *(tree for one in sent for tree in one.trees)]
    command = [*verb.split(), *flags_of(words, overrides)]
    content = [socket.gethostname(), str(runs_dir), command, [*overrides], [tree.name for tree in trees]]
    identity = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:40] if launches else None
    request = {
        "do": "look",
        "base": base,
        "files": sorted({blob.sha for tree in trees for blob in tree.blobs}),
        "trees": sorted({tree.name for tree in trees}),
        "answer": identity,
    }
    there = checked(away.ssh, python, ask(connection, python, request, LOOKED))
    if (earlier := _unrecorded(there.get("earlier"), runs_dir)) is not None:
        remote, folder = _record(earlier, runs_dir, away.ssh, python, there["base"], code)
        say(
            f"this command had already launched {remote.run} when the connection was lost; nothing was launched again: "
            f"{folder}; repeat the command for another one"
        )
        return 0
    send(connection, python, there["base"], trees, there)
    try:
        return run_there(
            connection, python, _command(command, overrides, code, sent, there["base"], identity)
        )
    finally:
        if identity:
            _record_answer(connection, python, base, identity, runs_dir, code)


def checked(ssh: str, python: str, there: dict[str, Any]) -> dict[str, Any]:
    """The answer to `look`; ClusterError for a Python that cannot run the launcher."""
    if there["old"]:
        raise ClusterError(
            f"cluster.ssh={ssh}: {python} is Python {there['version']} there, but the launcher needs 3.10 or newer; set "
            "cluster.python to a newer one on the cluster"
        )
    if there["absent"]:
        raise ClusterError(
            f"cluster.ssh={ssh}: {python} has no {', '.join(there['absent'])} there; log in and run {python} -m pip install "
            f"{' '.join(there['absent'])}, or name another interpreter with cluster.python"
        )
    if not LOOKED_WHOLE.keys() <= there.keys() or not fits(there, LOOKED_WHOLE):
        raise ClusterError(f"cluster.ssh={ssh}: the answer is not from the launcher; check cluster.python")
    return there


def _command(
    verb: Sequence[str],
    overrides: Sequence[str],
    code: CodeFolders,
    sent: Sequence[Sent],
    base: str,
    identity: str | None,
) -> Command:
    below = f"{base}/sent"
    values: dict[str, Any] = {one.key: _placed(one.value, below) for one in sent}
    values |= {"cluster.ssh": None, "cluster.python": None, "runs_dir": f"{base}/runs"}
    config_dir = None
    if code.config:
        config_dir = str(Path(below, code.config.name, code.config_below))
    words = overrides_there(overrides, values, config_dir, code.place)
    return Command(
        words=[*verb, *words],
        folder=f"{below}/{code.work.name}",
        path=[f"{below}/{tree.name}" for tree in code.imports],
        base=base,
        answer=identity,
        git=asdict(code.git) if identity else None,
    )


def _placed(value: Any, below: str) -> Any:
    if isinstance(value, str):
        return value.replace(SENT, below, 1) if value.startswith(SENT) else value
    if isinstance(value, list):
        return [_placed(one, below) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, tuple):
        return tuple(_placed(one, below) for one in value)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Mapping):
        return {key: _placed(one, below) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value


def _text(cfg: Any, key: str) -> Any:
    try:
        select: Any = OmegaConf.select  # its types are partly unknown
        return select(cfg, key, default=None)
    except Exception as error:
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from None


def _unrecorded(earlier: dict[str, Any] | None, runs_dir: Path) -> dict[str, Any] | None:
    """The run or sweep of an earlier launch by the same command, if this machine has no record of it."""
    if earlier is None:
        return None
    run, run_dir = _named(earlier)
    if not isinstance(run, str) or not _RUN.fullmatch(run) or not isinstance(run_dir, str):
        raise ClusterError(
            f"the cluster reports a launched run with the invalid name {str(run)[:60]!r}; log in there and check"
        )
    known = {remote.run_dir for folder in list_remote(runs_dir) if (remote := read_remote(folder))}
    return None if run_dir in known else earlier


def _named(report: dict[str, Any]) -> tuple[Any, Any]:
    """name/date_time of the run or the sweep, and its folder there."""
    what = "sweep" if "sweep" in report else "run"
    return report.get(what), report.get(f"{what}_dir")


def _record_answer(
    connection: SshConnection, python: str, base: str, identity: str, runs_dir: Path, code: CodeFolders
) -> None:
    """Records the run that the command has launched, if any."""
    request: dict[str, Any] = {"do": "look", "base": base, "files": [], "trees": [], "answer": identity}
    try:
        there = ask(connection, python, request, LOOKED)
    except ClusterError:
        say(
            "it is unknown whether a run was launched; repeat the same command: it asks the cluster first, and launches "
            "nothing twice"
        )
        return
    earlier = _unrecorded(there.get("earlier"), runs_dir)
    if earlier is not None:
        remote, folder = _record(earlier, runs_dir, connection.ssh, python, there["base"], code)
        verb = "sweep status" if remote.is_sweep else "status"
        say(f"{remote.run} is on {connection.ssh}; python -m launcher {verb} {folder}")


def _record(
    report: dict[str, Any], runs_dir: Path, ssh: str, python: str, base: str, code: CodeFolders
) -> tuple[RemoteRun, str]:
    """Writes the record, and returns it with the name by which the run or the sweep is found here."""
    run, run_dir = _named(report)
    folder, number = runs_dir / run, 1
    while folder.exists():
        number += 1
        folder = runs_dir / f"{run}_{number}"
    path = tuple(f"{base}/sent/{tree.name}" for tree in code.imports)
    dry_run = report.get("dry_run") is True
    remote = RemoteRun(
        ssh=ssh, python=python, base=base, path=path, run=run, run_dir=run_dir, dry_run=dry_run
    )
    write_remote(folder, remote)
    return remote, str(folder.relative_to(runs_dir))
