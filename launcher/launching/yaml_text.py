"""OmegaConf's YAML by libyaml: the values and the text of OmegaConf.load and OmegaConf.to_yaml, in less time.

Those use the parser and the emitter of PyYAML, which are written in Python. They need 7 ms of CPU time for the twelve files
that a launch reads, and libyaml needs 1 ms; for the config.yaml that it writes, 6 ms and 2 ms.

A PyYAML that was built without libyaml has no such classes; then OmegaConf's functions are used.
"""

from functools import cache
from typing import IO, Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf._utils import get_omega_conf_dumper, get_yaml_loader

_ESCAPED = "\\U"
"""How libyaml writes a character beyond U+FFFF, such as an emoji, which PyYAML writes as itself."""


def load(file: IO[str]) -> DictConfig | ListConfig:
    """The configuration in an open file of YAML."""
    if not yaml.__with_libyaml__:
        return OmegaConf.load(file)
    found = yaml.load(file, Loader=_loader())
    return OmegaConf.create({} if found is None else found)


def to_yaml(cfg: DictConfig | ListConfig) -> str:
    """The configuration as YAML, with interpolations resolved."""
    text = ""
    if yaml.__with_libyaml__:
        content = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
        text = yaml.dump(
            content, Dumper=_dumper(), default_flow_style=False, allow_unicode=True, sort_keys=False
        )
    return text if text and _ESCAPED not in text else OmegaConf.to_yaml(cfg, resolve=True)


@cache
def _loader() -> Any:
    """OmegaConf's loader with libyaml's parser in place of PyYAML's."""

    class _FastLoader(yaml.CSafeLoader, get_yaml_loader()):
        pass

    return _FastLoader


@cache
def _dumper() -> Any:
    """PyYAML's dumper by libyaml with the quotes that OmegaConf puts around texts that look like numbers."""

    class _FastDumper(yaml.CDumper):
        yaml_representers = get_omega_conf_dumper().yaml_representers

    return _FastDumper
