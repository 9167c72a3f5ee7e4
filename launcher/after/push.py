"""Which folder of a run or export is pushed to a model hub, and to which repository."""

import os
from collections.abc import Mapping
from pathlib import Path

from launcher.after.choose import chosen_checkpoint
from launcher.after.export import export, is_export
from launcher.after.upload import ADAPTER, PushResult, upload
from launcher.config import read_config
from launcher.errors import RunError, UsageError
from launcher.launching.push_target import api, check_name, look
from launcher.output import say
from launcher.run import RunDir
from launcher.run.events import launching as noted
from launcher.run.events.results import Exported
from launcher.status.record import failed_check


def push_run(
    run: RunDir,
    *,
    to: str | None,
    merged: bool,
    public: bool,
    checkpoint: str | None,
    force: bool,
    quiet: bool,
) -> PushResult:
    """What was pushed of a run; RunError if it has no model yet, and what `push_folder` raises."""
    wanted = read_config(str(run.config)).hub
    name = _named(to or wanted.push)
    chosen = chosen_checkpoint(run, checkpoint)
    client = api(_environ(run))
    remote = look(client, name)
    as_merged = merged or (wanted.merged and chosen is None and (run.export / ADAPTER).is_file())
    exports = run.read_events(Exported)
    folder, warning = run.export, failed_check(exports[-1] if exports else None)
    if as_merged or chosen is not None:
        folder, why = _made(
            run, merged=as_merged, checkpoint=chosen.name if chosen else None, wanted=checkpoint, quiet=quiet
        )
        warning = f"the check of {folder} failed, but it was pushed: {why}" if why else None
    result = upload(
        client, folder, name, remote, private=wanted.private and not public, force=force, quiet=quiet,
        message=f"{run.name}, by launcher",
        warning=warning,
    )  # fmt: skip
    run.note(
        noted.Pushed(
            attempt=run.attempts(),
            repository=name,
            commit=result["commit"],
            files=result["files"],
            bytes=result["bytes"],
        )
    )
    return result


def export_of(name: str | None) -> Path | None:
    """The named folder if `export` has written it, also with --gguf; None otherwise."""
    folder = Path(name).absolute() if name else None
    return folder if folder and is_export(folder) else None


def push_folder(folder: Path, *, to: str | None, public: bool, force: bool, quiet: bool) -> PushResult:
    """What was pushed of a folder that `export` has written.

    UsageError without a name; ConfigError without a token or permission; RunError for a repository with other content;
    PushFailed if the hub does not answer or the upload ends early; the command can then be repeated.
    """
    name = _named(to)
    if not is_export(folder):
        raise RunError(
            f"{folder} was not written by `launcher export`, and push takes only such folders; name a run or an export"
        )
    client = api(os.environ)
    return upload(
        client, folder, name, look(client, name), private=not public, force=force, quiet=quiet,
        message=f"{folder.name}, by launcher", warning=None,
    )  # fmt: skip


def _named(name: str | None) -> str:
    if not name:
        raise UsageError("push needs a repository: give --to OWNER/NAME, or launch with hub.push=OWNER/NAME")
    check_name("--to", name)
    return name


def _environ(run: RunDir) -> Mapping[str, str]:
    return {**os.environ, **read_config(str(run.config)).cluster.env}


def _made(
    run: RunDir, *, merged: bool, checkpoint: str | None, wanted: str | None, quiet: bool
) -> tuple[Path, str | None]:
    """The export of these weights, and why its check failed: an earlier one if it is newer than them, else a new one."""
    name = "_".join(["merged" if merged else "model", *([checkpoint] if checkpoint else [])])
    folder = run.path / "export" / name
    if folder.is_dir() and is_export(folder) and (checkpoint or _time(folder) >= _time(run.export)):
        return folder, None
    if not quiet:
        say(f"writing {folder}")
    made = export(run, merged=merged, dtype=None, to=folder, checkpoint=wanted, force=folder.exists())
    return Path(made.path), made.why


def _time(folder: Path) -> float:
    return max(file.stat().st_mtime for file in folder.iterdir())
