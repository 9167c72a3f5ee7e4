"""The folders that a container mounts: those that a run needs, and the user's own."""

from pathlib import PurePath

from launcher.config import Config, ContainerRuntime
from launcher.errors import PlanError
from launcher.plan.facts import Facts


def mounts_of(config: Config, facts: Facts) -> list[str]:
    """Mounts of the folders that a run needs, then the user's own; each once."""
    mounts = [*(f"{path}:{path}" for path in _folders(config, facts)), *config.cluster.container.mounts]
    return list(dict.fromkeys(mounts))


def mount_points(config: Config, facts: Facts) -> list[str]:
    """Folders of the image that a launch makes, because the container's program mounts only on existing folders."""
    if config.cluster.container.runtime is ContainerRuntime.none:
        return []
    from launcher.plan.containers import missing_mount_points  # imported here: most runs start on bare nodes

    return missing_mount_points(config.cluster.container, mounts_of(config, facts))


def mounted_caches(config: Config, facts: Facts) -> dict[str, str]:
    """The caches that are mounted into a container, by the key or variable that names each. A cache below a folder that the
    site mounts under its own path is left out."""
    container = config.cluster.container
    if container.runtime is ContainerRuntime.none:
        return {}
    parts = [mount.partition(":") for mount in container.mounts]
    given = [host for host, _, inside in parts if inside in ("", host)]
    caches = {"cache_dir": facts.cache_dir, **facts.hub_folders}
    return {
        name: path
        for name, path in caches.items()
        if not any(PurePath(path).is_relative_to(host) for host in given)
    }


def check_mounts(config: Config, facts: Facts) -> None:
    """PlanError for a mount that is not of absolute paths, and for a launch that would mount the whole host."""
    container = config.cluster.container
    if container.runtime is ContainerRuntime.none:
        return
    for mount in container.mounts:
        host, colon, inside = mount.partition(":")
        if not host.startswith("/") or (colon and not inside.startswith("/")):
            raise PlanError(
                f"cluster.container.mounts holds {mount!r}; write /folder, or /folder:/folder/inside, both from the root"
            )
    _check_separators(config, facts)
    if not PurePath(facts.work_dir).name:
        raise PlanError(
            "this command is typed in /, and the container mounts the folder of the command, which is all of the host; type it "
            "in your project's folder"
        )


def _check_separators(config: Config, facts: Facts) -> None:
    """PlanError for a folder whose name holds a character that separates the parts of a mount, which would be read as another
    mount."""
    opened = config.cluster.container.runtime is ContainerRuntime.pyxis
    between = ":," if opened else ":"  # pyxis takes all mounts in one value, joined by commas
    for path in _folders(config, facts):
        if any(one in path for one in between):
            raise PlanError(
                f"{path!r} has to be mounted into the container, and {' or '.join(between)} in its name would separate two "
                "mounts; rename the folder, or name it by a symbolic link without that character"
            )
    for mount in config.cluster.container.mounts:
        if opened and "," in mount:
            raise PlanError(
                f"cluster.container.mounts holds {mount!r}, and pyxis reads a comma as the next mount; give each its own item"
            )


def _folders(config: Config, facts: Facts) -> list[str]:
    """The run dir and the folders of caches, data, plugins and a local model, each of which is mounted under its own path."""
    models = (config.model.name_or_path, config.trainer.teacher or "", config.trainer.teacher_logits or "")
    local_model = [model for model in models if model.startswith("/")]
    caches = mounted_caches(config, facts).values()
    own_disk = [config.cluster.node_cache] if config.cluster.node_cache else []
    return [facts.run_dir, *caches, *facts.data_dirs, facts.work_dir, *local_model, *own_disk]
