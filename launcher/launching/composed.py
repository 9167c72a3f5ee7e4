"""What Hydra has composed -> a typed configuration, with what the launch tells about it."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, MissingMandatoryValue, OmegaConf

from launcher.config import ClusterConfig, Config
from launcher.errors import ConfigError
from launcher.frozen_dataclass import frozen_dataclass
from launcher.launching.elsewhere import refuse_elsewhere
from launcher.launching.model_gate import ADAPTER
from launcher.launching.named_model import fit_to_name
from launcher.launching.secrets import refuse_references
from launcher.launching.shipped_source import is_folder, is_own
from launcher.launching.typed import (
    expand_braces,
    expand_paths,
)
from launcher.methods.registry import find_method
from launcher.resources import resource_dir

if TYPE_CHECKING:  # most launches have neither a file of their own nor shapes to compare
    from launcher.launching.own_file.source import SourceFile
    from launcher.plan.shapes import ComparedShapes


_DEFAULT_DATA = "sample"
"""The file of conf/data that conf/config.yaml chooses."""


@frozen_dataclass
class Composed:
    """One composed configuration and the arguments that it was composed from."""

    cfg: DictConfig
    config: Config
    experiment: str | None
    overrides: list[str]
    trial: str | None
    """Number of the trial in a multirun."""
    config_dir: str | None
    """Absolute path given with --config-dir."""
    sources: "tuple[SourceFile, ...]" = ()
    """The file given with --config, and those that it extends."""
    uses_default_data: bool
    """Whether the data is the default of conf/config.yaml, because the user named none."""
    evaluation_left_out: bool
    """Whether the shipped evaluation file is not used, because data.path or data.sources names other data."""
    note: str
    """Which keys of the model file were dropped because another model is named, and that the cluster file was not run at its
    site; empty if neither."""
    compared: "ComparedShapes | None" = None
    """The shapes that resources.auto has compared; None before, and without it."""


def composed_of(cfg: DictConfig) -> Composed:
    settings = HydraConfig.get()
    refuse_elsewhere(cfg, settings)
    if any(is_own(one.schema) for one in settings.runtime.config_sources):
        from launcher.launching.plain_words import (
            refuse_numbers,
        )  # imported here: most launches have no file of their own

        refuse_numbers(settings)
    derived = OmegaConf.is_interpolation(cfg.data, "eval_path")
    refuse_references(repr(OmegaConf.to_container(cfg)))
    expand_braces(cfg, os.environ)
    OmegaConf.resolve(cfg)  # resolved here, while ${hydra:job.num} is that of this job
    expand_paths(cfg, os.environ)
    sources = settings.runtime.config_sources
    start = _fit_to_adapter(cfg, settings.overrides.task)
    dropped = fit_to_name(
        cfg,
        settings.runtime.choices.get("model"),
        [str(one.path) for one in sources if is_folder(one.schema)],
        settings.overrides.task,
    )
    unproven = _unproven(settings.runtime.choices.get("cluster"))
    note = "; ".join(filter(None, [start, dropped, unproven]))
    return Composed(
        cfg=cfg,
        config=to_config(cfg),
        experiment=settings.runtime.choices.get("experiment"),
        overrides=list(settings.overrides.task),
        trial=str(settings.job.num) if settings.mode is RunMode.MULTIRUN else None,
        config_dir=next((str(one.path) for one in sources if one.provider == "command-line"), None),
        note=note,
        uses_default_data=settings.runtime.choices.get("data") == _DEFAULT_DATA,
        evaluation_left_out=derived and cfg.data.eval_path is None and cfg.data.eval_fraction is None,
    )


def _fit_to_adapter(cfg: DictConfig, typed: Sequence[str]) -> str:
    """As `fit_to_adapter`; a run that starts from no adapter imports no module of it."""
    model = cfg.get("model")
    if not isinstance(model, DictConfig) or OmegaConf.is_missing(model, "name_or_path"):
        return ""
    name = str(model.name_or_path)
    folder = Path(name).expanduser() if name.startswith("~") else Path(name)
    if not model.adapter and not (folder / ADAPTER).is_file():
        return ""
    from launcher.launching.start_adapter import fit_to_adapter

    return fit_to_adapter(cfg, typed)


def _unproven(cluster: str | None) -> str:
    """A sentence for a shipped cluster file whose comment says that it was not run at its site; empty for any other."""
    file = resource_dir("conf") / "cluster" / f"{cluster}.yaml"
    if not file.is_file() or "Not run there." not in file.read_text():
        return ""
    return f"cluster={cluster} is written from the site's manual and was not run there; `site check` compares it with the site"


def to_config(cfg: DictConfig) -> Config:
    """The typed configuration.

    ConfigError for a missing value or an unknown training method; OmegaConf's for a key that `+` added.
    """
    try:
        checked = cfg
        if OmegaConf.get_type(cfg) is not Config or not _is_typed(
            cfg
        ):  # a second check would take a twentieth of a launch
            checked = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.to_container(cfg))
        config = OmegaConf.to_object(checked)
    except MissingMandatoryValue as error:
        key = str(error.full_key or error.key)
        raise ConfigError(f"{key} has no value; {_way_to_set(key)}") from None
    assert isinstance(config, Config)
    _check_lists(config.cluster)
    find_method(config.trainer.kind)
    return config


def _way_to_set(key: str) -> str:
    if key == "name":
        return "choose an experiment, such as +experiment=quickstart, or set it"
    group, dot, option = key.rpartition("sbatch.")
    shell = f", or SBATCH_{option.upper().replace('-', '_')} in your shell; this site refuses jobs without it"
    return f"set {key}=...{shell if group and dot else ''}"


def _is_typed(node: Any) -> bool:
    """Whether no part of a composed configuration has a key that the schema lacks; Hydra has checked the rest against it.

    It goes through the nodes themselves: reading a value by its key would look for an interpolation in it again.
    """
    if isinstance(node, ListConfig):
        return all(_is_typed(item) for item in node)
    if not isinstance(node, DictConfig) or (kind := OmegaConf.get_type(node)) is None:
        return True
    if dataclasses.is_dataclass(kind) and node.keys() != kind.__dataclass_fields__.keys():
        return False
    return all(
        OmegaConf.is_missing(node, key)
        or _is_typed(node[key])  # a list can be None, which only its value shows
        if isinstance(inner, ListConfig)
        else _is_typed(inner)
        for key, inner in node.items_ex(resolve=False)
    )


def _check_lists(cluster: ClusterConfig) -> None:
    """Raises ConfigError for an item that is not text, which OmegaConf 2.3 accepts in a list[str]."""
    lists = {
        "modules": cluster.modules,
        "setup": cluster.setup,
        "container.mounts": cluster.container.mounts,
        "container.options": cluster.container.options,
    }
    for name, items in lists.items():
        for item in items:
            if type(item) is not str:
                raise ConfigError(f"cluster.{name} holds {item!r}, which must be text; quote it")
