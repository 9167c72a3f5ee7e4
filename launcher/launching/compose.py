"""argv -> composed configurations; each of Hydra's errors becomes one line that names the way out."""

import copy
import dataclasses
import os
import re
import sys
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, MissingMandatoryValue, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from launcher.config import ClusterConfig, Config, register
from launcher.errors import ConfigError, LauncherError, UsageError
from launcher.launching.elsewhere import refuse_elsewhere
from launcher.launching.group_choice import check_choices
from launcher.launching.named_model import fit_to_name
from launcher.launching.own_file.expand import Expanded, expand, place
from launcher.launching.secrets import conceal, refuse_references, refuse_secrets, secrets_of
from launcher.launching.shipped_source import is_folder, is_own, use_shipped_source
from launcher.launching.start_adapter import fit_to_adapter
from launcher.launching.typed import (
    as_typed,
    check_words,
    expand_braces,
    expand_paths,
    keep_braces,
    with_home,
)
from launcher.methods.registry import find_method
from launcher.resources import resource_dir

if TYPE_CHECKING:  # most launches have neither a file of their own nor shapes to compare
    from launcher.launching.own_file.source import SourceFile
    from launcher.plan.shapes import ComparedShapes

# Free-form mappings: Hydra would require a `+` before each new key.
_FREE_FORM = [key for key, value in vars(ClusterConfig()).items() if type(value) is dict]
_DEFAULT_DATA = "sample"
"""The file of conf/data that conf/config.yaml chooses."""
_OPEN = re.compile(
    rf"(cluster\.({'|'.join(_FREE_FORM)})|trainer\.(options|lr_scheduler_kwargs|args)|strategy\.deepspeed|data\.(columns|roles))[.=]"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
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
    sample_unasked: bool
    """Whether the data is only the default of conf/config.yaml: nobody has named any."""
    evaluation_left_out: bool
    """Whether the shipped evaluation file is not used, because data.path or data.sources names other data."""
    note: str
    """What of the chosen model file was dropped for another model, and that a cluster file is unproven; empty if nothing."""
    compared: "ComparedShapes | None" = None
    """The shapes that resources.auto has compared; None before, and without it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MultirunRequest:
    """A multirun before it is expanded."""

    loader: ConfigLoader
    master: DictConfig
    """The configuration without the swept values, including Hydra's own part."""
    typed: list[str]
    """The overrides, without those of Hydra's own configuration."""
    sources: "tuple[SourceFile, ...]" = ()
    """The same as in Composed."""


def compose(
    arguments: list[str],
    take_sweep: Callable[[MultirunRequest], None] | None = None,
    run_here: Callable[[Composed], None] | None = None,
) -> list[Composed]:
    """The configuration that Hydra composes, or all those of a multirun; empty if only help was requested.

    `--config FILE` is replaced with the overrides of that file, which come before those that were typed.

    With `take_sweep`, a multirun is passed to it unexpanded, unless another launcher or sweeper of Hydra is named. If
    Hydra's launcher moves a job to another process, `run_here` gets its configuration there.

    ConfigError for everything that Hydra and OmegaConf refuse, ConfigElsewhere with cluster.ssh. Only temporary files are
    written.
    """
    register()
    check_words(arguments)
    check_choices(arguments)
    expanded = expand(arguments)
    arguments = expanded.arguments
    _refuse_secrets(expanded)
    composed: list[Composed] = []
    refused: list[Exception] = []
    own = os.getpid()

    def collect(cfg: DictConfig) -> None:
        if run_here is not None and os.getpid() != own:
            run_here(dataclasses.replace(_composed(cfg), sources=expanded.sources))
            return
        # If an error were raised here, Hydra would first print all overrides, including any secret among them.
        try:
            composed.append(_composed(cfg))
        except (LauncherError, OmegaConfBaseException) as error:
            refused.append(error)

    if take_sweep is not None:
        setattr(  # noqa: B010 - where hydra_plugins/launcher_sweeper looks for it
            collect,
            "take_sweep",
            _taking(take_sweep, expanded.sources),
        )
    arguments = [keep_braces(with_home(argument)) for argument in as_typed(arguments)]
    arguments = [f"++{argument}" if _OPEN.match(argument) else argument for argument in arguments]
    # Hydra's parser needs all overrides together; users put options between them.
    arguments.sort(key=lambda argument: argument.startswith("-") or not re.match(r"~|.*=", argument))
    conf = str(resource_dir("conf"))
    use_shipped_source()
    if _is_plain(arguments):
        return [_compose_one(conf, arguments, expanded)]
    _refuse_bad_options(arguments)
    decorated = hydra.main(version_base="1.3", config_path=conf, config_name="config")(collect)
    before = sys.argv
    # With this variable Hydra raises its errors, some as plain ValueErrors; without it, it prints many lines and exits.
    full_error = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        with tempfile.TemporaryDirectory(prefix="launcher-") as scratch:
            # Hydra's sweeper writes its own notes here; the launcher creates the sweep's folder itself
            sys.argv = ["launcher", f"hydra.sweep.dir={scratch}", *arguments]
            decorated()
        for error in refused:
            raise error
    except (HydraException, OmegaConfBaseException, YAMLError, AssertionError, ValueError) as error:
        raise ConfigError(_explained(error, arguments, expanded)) from None
    finally:
        sys.argv = before
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error
    return [dataclasses.replace(one, sources=expanded.sources) for one in composed]


def _refuse_bad_options(arguments: list[str]) -> None:
    """UsageError, one line, for what Hydra's own parser would refuse with its usage and an exit."""
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        from launcher.config.other_names import answer_option

        if elsewhere := answer_option(message.rpartition("unrecognized arguments: ")[2]):
            raise UsageError(elsewhere)
        raise UsageError(f"{message}; a verb is the first word; see python -m launcher help and --hydra-help")

    setattr(parser, "error", refuse)  # noqa: B010 - a method of argparse's class
    parser.parse_args(arguments)


def _is_plain(arguments: list[str]) -> bool:
    """Whether one run with this project's own files is requested: no Hydra option, and no key of Hydra's configuration."""
    return all(
        not word.startswith("-") and not word.lstrip("+~").startswith("hydra") and "${hydra" not in word
        for word in arguments
    )


def _compose_one(conf: str, arguments: list[str], expanded: Expanded) -> Composed:
    """As `compose`, for one run. Hydra 1.3's `main` composes twice, the first time only to read hydra.mode, which conf/
    does not set; its `compose` function composes once."""
    try:
        with hydra.initialize_config_dir(conf, version_base="1.3", job_name="launcher"):
            cfg = hydra.compose("config", arguments, return_hydra_config=True)
            HydraConfig.instance().set_config(cfg)
            with read_write(cfg), open_dict(cfg):
                del cfg["hydra"]
            return dataclasses.replace(_composed(cfg), sources=expanded.sources)
    except (HydraException, OmegaConfBaseException, YAMLError, AssertionError, ValueError) as error:
        raise ConfigError(_explained(error, arguments, expanded)) from None


def _explained(error: BaseException, arguments: list[str], expanded: Expanded) -> str:
    """One line for an error of Hydra or OmegaConf, without the value of a secret, and with the line of the file behind it."""
    from launcher.launching.explain import one_line  # imported here, as below: only an error is explained

    sentence = place(one_line(_sentence(error, arguments)), expanded.settings)
    return conceal(sentence, secrets_of(os.environ))


def _sentence(error: BaseException, arguments: list[str]) -> str:
    from launcher.launching.explain import explain
    from launcher.launching.explain_input import explain_file, explain_override

    return explain_file(error, arguments) or explain_override(error, arguments) or explain(error, arguments)


def _refuse_secrets(expanded: Expanded) -> None:
    """ConfigError for a file that holds the value of a secret: the run dir keeps a copy of the file."""
    for source in expanded.sources:
        refuse_secrets(source.text, secrets_of(os.environ))


def _taking(
    take: Callable[[MultirunRequest], None], sources: "tuple[SourceFile, ...]"
) -> Callable[[ConfigLoader, DictConfig, list[str]], None]:
    def taking(loader: ConfigLoader, master: DictConfig, typed: list[str]) -> None:
        refuse_elsewhere(master, master.hydra)
        take(MultirunRequest(loader=loader, master=master, typed=typed, sources=sources))

    return taking


def compose_trial(request: MultirunRequest, overrides: list[str], number: int) -> tuple[DictConfig, Composed]:
    """One job of a multirun, as Hydra's own sweeper and launcher compose it: before and after interpolation."""
    loaded = request.loader.load_sweep_config(request.master, overrides)
    with open_dict(loaded):
        loaded.hydra.job.id = loaded.hydra.job.num = number
    HydraConfig.instance().set_config(loaded)
    cfg = copy.deepcopy(loaded)
    with read_write(cfg), open_dict(cfg):
        del cfg["hydra"]
    return copy.deepcopy(cfg), _composed(cfg)


def _composed(cfg: DictConfig) -> Composed:
    settings = HydraConfig.get()
    refuse_elsewhere(cfg, settings)
    if any(is_own(one.schema) for one in settings.runtime.config_sources):
        from launcher.launching.plain_words import (
            refuse_numbers,
        )  # by need: most launches have no file of their own

        refuse_numbers(settings)
    derived = OmegaConf.is_interpolation(cfg.data, "eval_path")
    refuse_references(repr(OmegaConf.to_container(cfg)))
    expand_braces(cfg, os.environ)
    OmegaConf.resolve(cfg)  # resolved here, while ${hydra:job.num} is that of this job
    expand_paths(cfg, os.environ)
    sources = settings.runtime.config_sources
    start = fit_to_adapter(cfg, settings.overrides.task)
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
        sample_unasked=settings.runtime.choices.get("data") == _DEFAULT_DATA,
        evaluation_left_out=derived and cfg.data.eval_path is None and cfg.data.eval_fraction is None,
    )


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
        ):  # checking again is a twentieth of a launch
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
    """Whether no part of a composed configuration has a key that the schema lacks; Hydra has checked the rest against it."""
    if isinstance(node, ListConfig):
        return all(_is_typed(item) for item in node)
    if not isinstance(node, DictConfig):
        return True
    kind = OmegaConf.get_type(node)
    if dataclasses.is_dataclass(kind) and node.keys() != kind.__dataclass_fields__.keys():
        return False
    return all(OmegaConf.is_missing(node, key) or _is_typed(node[key]) for key in node)


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
