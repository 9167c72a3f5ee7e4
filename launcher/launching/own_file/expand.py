"""--config FILE among the arguments -> the overrides that the file contains, before those that were typed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omegaconf import OmegaConf

from launcher.errors import ConfigError, UsageError, unknown
from launcher.frozen_dataclass import frozen_dataclass
from launcher.launching.typed import OWN_FILE
from launcher.resources import resource_dir
from launcher.run.find import as_name

if TYPE_CHECKING:  # most launches have no file
    from launcher.launching.own_file.requested import FileSettings, Setting
    from launcher.launching.own_file.source import SourceFile

OPTION = OWN_FILE
_EXPERIMENT = re.compile(r"\+?experiment=(.*)")


@frozen_dataclass
class Expanded:
    """A command line without --config."""

    arguments: list[str]
    """The overrides that the file contains, then the arguments that were typed."""
    sources: "tuple[SourceFile, ...]" = ()
    """The file and those that it extends, in this order."""
    settings: "Mapping[str, Setting]" = field(default_factory=dict[str, Any])
    """Key -> where the file sets it."""


def expand(arguments: Sequence[str]) -> Expanded:
    """The command line with the overrides of its file; ConfigError for every fault of the file."""
    typed, chosen = _take(arguments)
    if chosen is None:
        return Expanded(arguments=typed)
    from launcher.launching.explain import config_dir_of
    from launcher.launching.own_file.write import in_grammar

    config_dir = config_dir_of(typed)
    chain = _read_chain(chosen, config_dir)
    experiment = _experiment(chain, typed)
    choices: dict[str, Setting] = {}
    values: dict[str, Setting] = {}
    for asked, _ in reversed(chain):
        choices |= asked.choices
        values = {key: one for key, one in values.items() if not _replaced(key, asked)} | asked.values
    lines = [f"+experiment={experiment}"] if experiment and not _typed_experiment(typed) else []
    lines += [f"{group}={one.value}" for group, one in choices.items()]
    lines += _plugin_lines(chain, experiment, config_dir)
    lines += [f"{'++' if one.free else ''}{one.key}={in_grammar(one.value)}" for one in values.values()]
    if "name" not in values and not any(word.startswith("name=") for word in typed):
        lines.append(f"name={in_grammar(as_name(Path(chosen).stem))}")
    return Expanded(
        arguments=[*lines, *typed], sources=tuple(source for _, source in chain), settings=values | choices
    )


def _take(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """The arguments without --config, and its file."""
    typed: list[str] = []
    chosen: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name != OPTION:
            typed.append(word)
            continue
        value = value if equals else next(words, "")
        if not value:
            raise UsageError(f"{OPTION} needs a file, as in {OPTION} my_run.yaml")
        chosen.append(value)
    if len(chosen) > 1:
        raise UsageError(
            f"{OPTION} is given {len(chosen)} times; give one file, and let it name the other with extends: {chosen[0]}"
        )
    return typed, chosen[0] if chosen else None


def _read_chain(chosen: str, config_dir: Path | None) -> "list[tuple[FileSettings, SourceFile]]":
    """The file, then the one that it extends, and so on; ConfigError for a cycle."""
    from launcher.launching.own_file.settings import read_file
    from launcher.launching.own_file.source import parse_source, read_source

    chain: list[tuple[FileSettings, SourceFile]] = []
    path, shown = Path(chosen), chosen
    while True:
        source = read_source(path, shown)
        if any(path.resolve() == before.path.resolve() for _, before in chain):
            names = " -> ".join([*(before.shown for _, before in chain), shown])
            raise ConfigError(f"the files extend each other in a circle: {names}; remove one extends")
        asked = read_file(source, parse_source(source), config_dir)
        chain.append((asked, source))
        if asked.extends is None or (next_file := _next(asked.extends, path.parent, config_dir)) is None:
            return chain
        path, shown = next_file, str(next_file)


def _next(extends: "Setting", folder: Path, config_dir: Path | None) -> Path | None:
    """The file that is extended; None for an experiment."""
    value = str(extends.value)
    names = _experiments(config_dir)
    if value in names:
        return None
    path = Path(value).expanduser()
    if path.suffix in (".yaml", ".yml") or "/" in value:
        found = path if path.is_absolute() else folder / path
        if not found.is_file():
            extends.fail(f"extends: {value} is not a file in {folder}")
        return found
    extends.fail(
        f"extends: {unknown('experiment', value, names)} A file is written with its ending, as in base.yaml."
    )
    return None


def _experiments(config_dir: Path | None) -> list[str]:
    folders = [resource_dir("conf"), *([config_dir] if config_dir else [])]
    return sorted({path.stem for one in folders for path in (one / "experiment").glob("*.yaml")})


def _typed_experiment(typed: Sequence[str]) -> str | None:
    found = [match[1] for word in typed if (match := _EXPERIMENT.fullmatch(word))]
    return found[-1] if found else None


def _experiment(chain: "Sequence[tuple[FileSettings, SourceFile]]", typed: Sequence[str]) -> str | None:
    """The experiment at the end of the chain, or the one that was typed."""
    extends, word = chain[-1][0].extends, _typed_experiment(typed)
    if extends is None or word is None:
        return str(extends.value) if extends else word
    raise UsageError(
        f"+experiment={word} and extends: {extends.value} ({extends.source.shown}:{extends.line}) both name an experiment; "
        "keep one of them"
    )


def _replaced(key: str, asked: "FileSettings") -> bool:
    """Whether a file sets or removes what a file that it extends set: the whole list of plugins, or one plugin."""
    first, _, rest = key.partition(".")
    name = rest.partition(".")[0]
    if first != "plugins":
        return False
    listed = asked.plugin_list is not None and name not in asked.plugin_list.value
    return listed or (name in asked.plugins and asked.plugins[name].value is False)


def _plugin_lines(
    chain: "Sequence[tuple[FileSettings, SourceFile]]", experiment: str | None, config_dir: Path | None
) -> list[str]:
    """The choice of plugins: the experiment's, with those that the files add, turn off or list."""
    if not any(asked.plugin_list or asked.plugins for asked, _ in chain):
        return []
    chosen = plugins_of(experiment, config_dir)
    for asked, _ in reversed(chain):
        if asked.plugin_list is not None:
            chosen = list(asked.plugin_list.value)
        for name, one in asked.plugins.items():
            chosen = [other for other in chosen if other != name or one.value]
            if one.value and name not in chosen:
                chosen.append(name)
    return [f"plugin=[{','.join(chosen)}]"]


def plugins_of(experiment: str | None, config_dir: Path | None) -> list[str]:
    """The plugins that an experiment's defaults choose."""
    if experiment is None:
        return []
    folders = [one for one in (config_dir, resource_dir("conf")) if one]
    found = [path for one in folders if (path := one / "experiment" / f"{experiment}.yaml").is_file()]
    loaded = cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.load(found[0])) if found else {})
    for entry in reversed(cast("list[Any]", loaded.get("defaults", []))):
        pairs: dict[str, Any] = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        for key, value in pairs.items():
            group = key.split()[-1].strip("/")
            if group == "plugin":
                return [value] if isinstance(value, str) else list(value or [])
            if group == "experiment":
                return plugins_of(str(value), config_dir)
    return []


def place(message: str, settings: "Mapping[str, Setting]") -> str:
    """The message of a refusal, with the line of the file that sets the key it begins with."""
    key = re.match(r"[\w.\-]+", message)
    found = settings.get(key[0]) if key else None
    return f"{found.source.shown}:{found.line}: {message}" if found else message
