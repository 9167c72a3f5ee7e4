"""Reads what one file requests: its keys, each checked against the schema."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, get_args, get_origin, get_type_hints

import yaml
from omegaconf import OmegaConf

from launcher.config import Config
from launcher.config.texts import dataclass_of
from launcher.errors import ConfigError, unknown
from launcher.launching.explain import expected, named_value, unknown_key, without_unit
from launcher.launching.own_file.foreign import recipe_in
from launcher.launching.own_file.requested import EXTENDS, PLUGIN, PLUGINS, FileSettings, Setting
from launcher.launching.own_file.source import SourceFile, construct, line_of
from launcher.launching.own_file.values import accepts, free_value, is_null, value_of
from launcher.launching.own_file.write import in_grammar
from launcher.launching.secrets import refers_to_secret
from launcher.resources import resource_dir


class SettingsReader:
    """Reads the nodes of one file into FileSettings; ConfigError for the first fault."""

    def __init__(self, source: SourceFile, config_dir: Path | None) -> None:
        self.source, self.config_dir, self.asked = source, config_dir, FileSettings()
        self._groups = {
            field.name: kind
            for field in dataclasses.fields(Config)
            if (kind := dataclass_of(get_type_hints(Config)[field.name]))
        }

    def read(self, root: yaml.MappingNode) -> FileSettings:
        """What the file asks for."""
        self._refuse_hydra(root)
        self._refuse_recipe(root)
        for key, node in root.value:
            self._top(key.value, key, node)
        return self.asked

    def names(self, group: str) -> list[str]:
        """Sorted names of the shipped files of a group, and of those of --config-dir."""
        folders = [resource_dir("conf"), *([self.config_dir] if self.config_dir else [])]
        found = {path.stem for folder in folders for path in (folder / group).glob("*.yaml")}
        return sorted(found - {"schema"})

    def _refuse_recipe(self, root: yaml.MappingNode) -> None:
        names = [str(key.value) for key, _ in root.value]
        own = (*self._groups, *(one.name for one in dataclasses.fields(Config)), EXTENDS, PLUGIN, PLUGINS)
        if said := recipe_in(names, own, str(self.source.path)):
            self.source.fail(line_of(root.value[0][0]), said)

    def _refuse_hydra(self, root: yaml.MappingNode) -> None:
        for key, _ in root.value:
            if key.value in ("defaults", "hydra"):
                self.source.fail(
                    line_of(key),
                    f"{key.value} belongs to a file of Hydra's: put this file into DIR/experiment/ and type --config-dir DIR "
                    f"+experiment={self.source.path.stem}; or write extends: NAME here instead",
                )

    def _top(self, name: str, key: yaml.Node, node: yaml.Node) -> None:
        line = line_of(key)
        if name == EXTENDS:
            self.asked.extends = self._word(name, node, line)
        elif name == PLUGIN:
            self._plugin_list(node, line)
        elif name == PLUGINS:
            self._plugins(node, line)
        elif name == "experiment":
            self.source.fail(line, f"experiment is written {EXTENDS}: NAME in a file of your own")
        elif "." in name:
            self._dotted(name, line, node)
        elif name in self._groups:
            self._group(name, line, node)
        else:
            self._field(Config, "", name, line, node)

    def _dotted(self, name: str, line: int, node: yaml.Node) -> None:
        """A key as it is typed on a command line, such as trainer.learning_rate."""
        first, *rest = name.split(".")
        inner: yaml.Node = node
        for part in reversed(rest):
            word = yaml.ScalarNode("tag:yaml.org,2002:str", part, node.start_mark, node.end_mark)
            inner = yaml.MappingNode("tag:yaml.org,2002:map", [(word, inner)], node.start_mark, node.end_mark)
        if first == PLUGINS:
            self._plugins(inner, line)
        elif first in self._groups:
            self._group(first, line, inner)
        else:
            self._field(Config, "", first, line, inner)

    def _group(self, name: str, line: int, node: yaml.Node) -> None:
        """A group: one word takes a file of it, keys set values."""
        choices = self.names(name)
        if isinstance(node, yaml.ScalarNode):
            if is_null(node):
                return
            if not choices:
                self.source.fail(line, f"{name} holds keys, such as {_first_key(name, self._groups[name])}")
            self._choose(name, self._word(name, node, line), choices)
            return
        if not isinstance(node, yaml.MappingNode):
            self.source.fail(line, f"{name} holds keys, not a list")
        for key, value in node.value:
            if key.value == EXTENDS and choices:
                self._choose(name, self._word(f"{name}.{EXTENDS}", value, line_of(key)), choices)
                continue
            if key.value == "kind" and isinstance(value, yaml.ScalarNode) and value.value in choices:
                self.asked.choices.setdefault(name, self._word(name, value, line_of(key)))
            self._key(self._groups[name], f"{name}.", key, value)

    def _choose(self, group: str, setting: Setting, choices: list[str]) -> None:
        if setting.value not in choices:
            said = named_value(group, setting.value) or f"{group}: {unknown(group, setting.value, choices)}"
            if ":" in setting.value and group not in ("model", "data"):
                said = f"{group}: {setting.value}: write a space after the colon"
            self.source.fail(setting.line, said)
        self.asked.choices[group] = setting

    def _key(self, schema: type, prefix: str, key: yaml.Node, node: yaml.Node) -> None:
        first, _, rest = str(key.value).partition(".")
        if rest:
            word = yaml.ScalarNode("tag:yaml.org,2002:str", rest, key.start_mark, key.end_mark)
            node = yaml.MappingNode("tag:yaml.org,2002:map", [(word, node)], key.start_mark, key.end_mark)
        self._field(schema, prefix, first, line_of(key), node)

    def _field(self, schema: type, prefix: str, name: str, line: int, node: yaml.Node) -> None:
        full = f"{prefix}{name}"
        if name not in {field.name for field in dataclasses.fields(schema)}:
            self.source.fail(line, unknown_key(full))
        hint = get_type_hints(schema)[name]
        below = dataclass_of(hint)
        if below and get_origin(hint) is not list and isinstance(node, yaml.MappingNode):
            if type(None) in get_args(hint):
                self._optional_group(below, full, line, node)
                return
            for key, value in node.value:
                self._key(below, f"{full}.", key, value)
            return
        if below and isinstance(node, yaml.SequenceNode):
            items = [self._item(below, full, one) for one in node.value]
            self._put(Setting(key=full, value=items, source=self.source, line=line))
            return
        if get_origin(hint) is dict and isinstance(node, yaml.MappingNode):
            for setting in self._free(full, node, text=get_args(hint)[1] is str):
                self._put(setting)
            return
        value = value_of(hint, node)
        self._check(schema, name, full, line, value)
        self._put(Setting(key=full, value=value, source=self.source, line=line))

    def _optional_group(self, schema: type, full: str, line: int, node: yaml.MappingNode) -> None:
        """A group that may be null: Hydra takes its keys only together."""
        values = self._item(schema, full, node)
        self._put(Setting(key=full, value=values, source=self.source, line=line))

    def _item(self, schema: type, full: str, node: yaml.Node) -> dict[str, Any]:
        """The keys of one element of a list, or of a group that may be null."""
        if not isinstance(node, yaml.MappingNode):
            self.source.fail(line_of(node), f"{full} must be {expected(full)}")
        inner = SettingsReader(self.source, self.config_dir)
        for key, value in node.value:
            inner._key(schema, f"{full}.", key, value)
        return {one.key.removeprefix(f"{full}."): one.value for one in inner.asked.values.values()}

    def _free(self, prefix: str, node: yaml.MappingNode, text: bool = False) -> Iterator[Setting]:
        """The keys of a free-form mapping; with `text`, its values are text, whatever they look like."""
        for key, value in node.value:
            name = f"{prefix}.{key.value}"
            if isinstance(value, yaml.MappingNode) and value.value:
                yield from self._free(name, value, text)
            else:
                yield Setting(
                    key=name, value=free_value(value, text), source=self.source, line=line_of(key), free=True
                )

    def _plugin_list(self, node: yaml.Node, line: int) -> None:
        names = construct(node)
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, list) or not all(isinstance(one, str) for one in cast("list[Any]", names)):
            self.source.fail(
                line, f"plugin={names} must be a list of names, such as [lora, gradient_checkpointing]"
            )
        known = self.names(PLUGIN)
        for name in cast("list[str]", names):
            if name not in known:
                self.source.fail(line, f"plugin: {unknown('plugin', name, known)}")
        self.asked.plugin_list = Setting(key=PLUGIN, value=names, source=self.source, line=line)

    def _plugins(self, node: yaml.Node, line: int) -> None:
        """`plugins`: each name under it is a plugin of the run, with its options; false turns one off."""
        if isinstance(node, yaml.SequenceNode):
            self._plugin_list(node, line)
            return
        if not isinstance(node, yaml.MappingNode):
            if not is_null(node):
                self.source.fail(line, "plugins holds names with options, such as lora: {r: 16}")
            return
        known = self.names(PLUGIN)
        for key, value in node.value:
            self._plugin(str(key.value), line_of(key), value, known)

    def _plugin(self, name: str, line: int, node: yaml.Node, known: list[str]) -> None:
        name, _, rest = name.partition(".")
        if rest:
            word = yaml.ScalarNode("tag:yaml.org,2002:str", rest, node.start_mark, node.end_mark)
            node = yaml.MappingNode("tag:yaml.org,2002:map", [(word, node)], node.start_mark, node.end_mark)
        prefix = f"{PLUGINS}.{name}"
        options = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        if name not in known and "_target_" not in options:
            self.source.fail(line, unknown_key(f"{prefix}.x" if options else prefix))
        if not isinstance(node, yaml.MappingNode):
            on = True if is_null(node) else construct(node)
            if not isinstance(on, bool):
                self.source.fail(
                    line, f"{prefix} holds options, such as {{r: 16}}; true and false turn it on and off"
                )
            self.asked.plugins[name] = Setting(key=prefix, value=on, source=self.source, line=line)
            return
        if name in known:
            self.asked.plugins[name] = Setting(key=prefix, value=True, source=self.source, line=line)
            self._check_options(name, node)
        for setting in self._free(prefix, node):
            self._put(setting)

    def _check_options(self, name: str, node: yaml.MappingNode) -> None:
        folders = [one for one in (self.config_dir, resource_dir("conf")) if one]
        path = next(path for one in folders if (path := one / PLUGIN / f"{name}.yaml").is_file())
        options = [str(key) for key in OmegaConf.load(path)]
        for key, _ in node.value:
            if key.value.partition(".")[0] not in options:
                self.source.fail(line_of(key), unknown_key(f"{PLUGINS}.{name}.{key.value}"))

    def _check(self, schema: type, name: str, full: str, line: int, value: Any) -> None:
        """Refuses a value whose type OmegaConf refuses for this key."""
        self._refuse_secret(full, line, value)
        if not accepts(schema, name, value):
            shown = value if isinstance(value, str) else in_grammar(value)
            self.source.fail(line, f"{full}={shown} must be {expected(full)}{without_unit(full, shown)}")

    def _put(self, setting: Setting) -> None:
        self._refuse_secret(setting.key, setting.line, setting.value)
        before = self.asked.values.get(setting.key)
        if before is not None:
            setting.fail(f"{setting.key} is given twice, first on line {before.line}; keep one of them")
        self.asked.values[setting.key] = setting

    def _refuse_secret(self, key: str, line: int, value: Any) -> None:
        if name := refers_to_secret(str(value)):
            self.source.fail(
                line,
                f"{key} refers to {name}, a secret, and configurations are written to files; remove it: jobs inherit {name}",
            )

    def _word(self, key: str, node: yaml.Node, line: int) -> Setting:
        if not isinstance(node, yaml.ScalarNode) or is_null(node) or not node.value.strip():
            self.source.fail(line, f"{key} must be one name")
        return Setting(key=key, value=node.value, source=self.source, line=line)


def read_file(source: SourceFile, root: yaml.MappingNode, config_dir: Path | None) -> FileSettings:
    """What a file asks for; ConfigError for the first fault in it."""
    try:
        return SettingsReader(source, config_dir).read(root)
    except yaml.MarkedYAMLError as error:  # a value that its tag does not allow, such as !!int x
        mark = error.problem_mark
        source.fail(mark.line + 1 if mark else 1, f"not YAML ({error.problem})")
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source.shown}: {error}") from None


def _first_key(group: str, schema: type) -> str:
    return f"{group}.{dataclasses.fields(schema)[0].name}"
