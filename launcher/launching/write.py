"""Writes the files of a run dir: when the run is planned, and again when a resume plans it again."""

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from launcher.clusters.intent import is_first
from launcher.clusters.registry import find_cluster, job_cluster
from launcher.clusters.submission import cut_short
from launcher.config import Config
from launcher.errors import RunError
from launcher.launching.changed_data import data_states
from launcher.launching.composed import Composed
from launcher.launching.freeze.freeze import Frozen
from launcher.launching.yaml_text import to_yaml
from launcher.output import warn
from launcher.plan import LaunchPlan
from launcher.plan.mounts import mount_points, mounted_caches
from launcher.reading import read_text
from launcher.render import render
from launcher.run import RunDir, write_text
from launcher.run.events.launching import Planned, Replanned

if TYPE_CHECKING:  # most launches have no file of their own
    from launcher.launching.own_file.source import SourceFile


def write_run(
    run: RunDir,
    plan: LaunchPlan,
    composed: Composed,
    data: list[dict[str, Any]],
    frozen: Frozen | None = None,
) -> bool:
    """Creates the run dir with every file of the run; False, and nothing is written, if it already exists.

    `data`: the reports of the data check. `frozen` is the code to keep with the run, which the plan imports.
    """
    texts = render(plan)  # before the folder, so that an error leaves no files
    _make_caches(plan, composed)
    _make_mount_points(plan, composed)
    try:
        run.path.parent.mkdir(parents=True, exist_ok=True)
        run.path.mkdir(mode=folder_mode(composed.config))
    except FileExistsError:
        if run.path.is_dir():
            return False
        raise RunError(f"runs_dir={composed.config.runs_dir} is not a folder; choose another") from None
    except OSError as error:
        raise RunError(
            f"runs_dir={composed.config.runs_dir}: {run.path} cannot be created ({error.strerror}); choose another folder"
        ) from None
    try:
        run.logs.mkdir()  # a scheduler can fail silently if it cannot write its log
        make_log_folders(plan, run.path)
        (run.path / ".hydra").mkdir()
        if frozen:
            frozen.write(run)
        _write(run, composed, data, texts)
        states = data_states(plan.facts)
        run.note(Planned(attempt=0, experiment=plan.experiment, cluster=plan.cluster, data=states))
    except OSError:  # a full disk, for example: no incomplete run dir is left
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    return True


def folder_mode(config: Config) -> int:
    """The mode of a new run dir or sweep, before the umask is applied."""
    return 0o777 if config.umask_shared else 0o700


def settle(run: RunDir) -> None:
    """Records the job of an interrupted submission of the run, or that there is none; ClusterError if the cluster cannot
    say."""
    if run.intent.exists():
        with cut_short(job_cluster(str(run.read_json(run.plan)["cluster"])), run):
            pass


def find_cut_short(run: RunDir, composed: Composed) -> RunDir | None:
    """An earlier launch of the same run that was interrupted between its decision to submit and the record of the job's id.

    A run whose job was queued again is none, although that submission too can have been interrupted: its launch was complete.
    """
    depth = 1 if composed.trial is None else 2  # a trial's folder is in its sweep's
    intents = list(run.path.parents[depth - 1].glob("*/" * depth + run.intent.name))
    if not intents:
        return None
    config, overrides = _texts(composed)
    for intent in intents:
        found = RunDir(intent.parent)
        same_trial = composed.trial is None or found.path.name == run.path.name
        if (
            same_trial
            and _read(found.overrides) == overrides
            and (_read(found.config) == config or _is_of_other_shape(found, composed, config))
            and found.plan.is_file()
            and is_first(found)
        ):
            return found
    return None


def _is_of_other_shape(found: RunDir, composed: Composed, config: str) -> bool:
    """Whether the run is this one on another shape, which resources.auto chose at that time."""
    written = _read(found.config)
    if not composed.compared or not written:
        return False
    from launcher.config.kept_yaml import refused  # imported here: most launches compare no shapes

    try:
        with refused(found.config):
            return _without_shape(written) == _without_shape(config)
    except RunError:
        return False


def _without_shape(text: str) -> Any:
    cfg = OmegaConf.create(text)
    cfg.resources.nodes = cfg.resources.gpus_per_node = None
    return cfg


def _read(path: Path) -> str | None:
    """The text of a file of another run; None if it cannot be read, as that run is then not this one."""
    with suppress(OSError, RunError):
        return read_text(path)
    return None


def _texts(composed: Composed) -> tuple[str, str]:
    """The contents of config.yaml and overrides.yaml."""
    return to_yaml(composed.cfg), to_yaml(OmegaConf.create(composed.overrides))


def rewrite_run(
    run: RunDir,
    plan: LaunchPlan,
    composed: Composed,
    data: list[dict[str, Any]],
    changes: dict[str, Any],
    frozen: Frozen | None,
) -> None:
    """Writes the new plan into the same run dir; the files of the old one are kept under earlier/N.

    If it is interrupted, the files do not match each other and no node accepts them; it can be repeated.
    """
    from launcher.launching.earlier_files import keep_earlier  # imported here: a launch has no earlier files

    texts = render(plan)
    _make_caches(plan, composed)
    _make_mount_points(plan, composed)
    make_log_folders(plan, run.path)
    kept = keep_earlier(run, texts)
    if frozen:
        frozen.write(run)
    else:
        run.code.unlink(missing_ok=True)
    _write(run, composed, data, texts)
    states = data_states(plan.facts)
    run.note(Replanned(attempt=run.attempts(), changes=changes, earlier=str(kept), data=states))


def kept_files(sources: "Sequence[SourceFile]") -> dict[str, str]:
    """Name -> text of the copies of the files given with --config, in a folder of a run dir or of a sweep."""
    names = [source.path.name for source in sources]
    return {
        f"asked/{f'{at}_' if names.count(name) > 1 else ''}{name}": source.text
        for at, (name, source) in enumerate(zip(names, sources, strict=True))
    }


def _make_caches(plan: LaunchPlan, composed: Composed) -> None:
    """Creates the folders that a container mounts and that nothing else creates before it starts."""
    for name, path in mounted_caches(composed.config, plan.facts).items():
        try:
            Path(path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{name}={path} is mounted into the container and cannot be created ({error.strerror}); choose another folder, "
                "or one that is below a folder of cluster.container.mounts"
            ) from None


def make_log_folders(plan: LaunchPlan, folder: Path) -> None:
    """Creates the folders of the scheduler's own output, relative to the folder in which the job starts."""
    for name in find_cluster(plan.cluster).log_folders(plan.job_options):
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"the folder {folder / name} of the job's output cannot be created ({error.strerror}); choose another one in "
                "cluster.sbatch"
            ) from None


def _make_mount_points(plan: LaunchPlan, composed: Composed) -> None:
    """Creates the folders of an unpacked image on which its program mounts."""
    image = Path(composed.config.cluster.container.image or "")
    points = mount_points(composed.config, plan.facts)
    if points and not image.is_dir():
        warn(
            f"cluster.container.image={image} is not a folder on this machine: each node needs it with the mount points "
            f"{' '.join(points)}"
        )
        return
    for point in points:
        try:
            (image / point.lstrip("/")).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"cluster.container.image={image} has no folder {point} to mount on, and it cannot be made "
                f"({error.strerror}); make it in the image, or set "
                "cluster.container.options=[--write-fake] (charliecloud 0.34 and later)"
            ) from None


def _write(run: RunDir, composed: Composed, data: list[dict[str, Any]], texts: dict[str, str]) -> None:
    config, overrides = _texts(composed)
    write_text(run.overrides, overrides)
    if composed.config_dir:
        write_text(run.config_dir, composed.config_dir + "\n")
    write_text(run.config, config)
    for name, text in kept_files(composed.sources).items():
        (run.path / name).parent.mkdir(exist_ok=True)
        write_text(run.path / name, text)
    for name, text in texts.items():
        write_text(run.path / name, text)
    write_text(run.data_check, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
