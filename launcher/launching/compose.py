"""argv -> what Hydra composes; each of Hydra's errors becomes one line that names the way out."""

import copy
import dataclasses
import os
import re
import sys
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from launcher.config import ClusterConfig, register
from launcher.errors import ConfigError, LauncherError, UsageError
from launcher.frozen_dataclass import frozen_dataclass
from launcher.launching.composed import Composed, composed_of
from launcher.launching.elsewhere import refuse_elsewhere
from launcher.launching.secrets import conceal, refuse_secrets, secrets_of
from launcher.launching.shipped_source import use_shipped_source
from launcher.launching.typed import (
    OWN_FILE,
    as_typed,
    check_words,
    keep_braces,
    with_home,
)
from launcher.resources import resource_dir

if TYPE_CHECKING:  # most launches have no file of their own
    from launcher.launching.own_file.expand import Expanded
    from launcher.launching.own_file.source import SourceFile

# Free-form mappings: Hydra would require a `+` before each new key.
_FREE_FORM = [key for key, value in vars(ClusterConfig()).items() if type(value) is dict]
_OPEN = re.compile(
    rf"(cluster\.({'|'.join(_FREE_FORM)})|trainer\.(options|lr_scheduler_kwargs|args)|strategy\.deepspeed|data\.(columns|roles))[.=]"
)


@frozen_dataclass
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
    if any("[" in word for word in arguments):
        from launcher.launching.group_choice import check_choices  # imported here: for lists of files alone

        check_choices(arguments)
    expanded = _expand(arguments)
    if expanded:
        arguments = expanded.arguments
        _refuse_secrets(expanded)
    sources = expanded.sources if expanded else ()
    composed: list[Composed] = []
    refused: list[Exception] = []
    own = os.getpid()

    def collect(cfg: DictConfig) -> None:
        if run_here is not None and os.getpid() != own:
            run_here(dataclasses.replace(composed_of(cfg), sources=sources))
            return
        # If an error were raised here, Hydra would first print all overrides, including any secret among them.
        try:
            composed.append(composed_of(cfg))
        except (LauncherError, OmegaConfBaseException) as error:
            refused.append(error)

    if take_sweep is not None:
        setattr(  # noqa: B010 - where hydra_plugins/launcher_sweeper looks for it
            collect,
            "take_sweep",
            _taking(take_sweep, sources),
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
    return [dataclasses.replace(one, sources=sources) for one in composed]


def _expand(arguments: list[str]) -> "Expanded | None":
    """The command line with the overrides of the file that --config names; None without a file."""
    if not any(word.partition("=")[0] == OWN_FILE for word in arguments):
        return None
    from launcher.launching.own_file.expand import expand

    return expand(arguments)


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


def _compose_one(conf: str, arguments: list[str], expanded: "Expanded | None") -> Composed:
    """As `compose`, for one run. Hydra 1.3's `main` composes twice, the first time only to read hydra.mode, which conf/
    does not set; its `compose` function composes once."""
    try:
        with hydra.initialize_config_dir(conf, version_base="1.3", job_name="launcher"):
            cfg = hydra.compose("config", arguments, return_hydra_config=True)
            HydraConfig.instance().set_config(cfg)
            with read_write(cfg), open_dict(cfg):
                del cfg["hydra"]
            return dataclasses.replace(composed_of(cfg), sources=expanded.sources if expanded else ())
    except (HydraException, OmegaConfBaseException, YAMLError, AssertionError, ValueError) as error:
        raise ConfigError(_explained(error, arguments, expanded)) from None


def _explained(error: BaseException, arguments: list[str], expanded: "Expanded | None") -> str:
    """One line for an error of Hydra or OmegaConf, without the value of a secret, and with the line of the file behind it."""
    from launcher.launching.explain import one_line  # imported here, as below: only an error is explained

    sentence = one_line(_sentence(error, arguments))
    if expanded:
        from launcher.launching.own_file.expand import place

        sentence = place(sentence, expanded.settings)
    return conceal(sentence, secrets_of(os.environ))


def _sentence(error: BaseException, arguments: list[str]) -> str:
    from launcher.launching.explain import explain
    from launcher.launching.explain_input import explain_file, explain_override

    return explain_file(error, arguments) or explain_override(error, arguments) or explain(error, arguments)


def _refuse_secrets(expanded: "Expanded") -> None:
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
    return copy.deepcopy(cfg), composed_of(cfg)
