"""The value of a key in a file of one's own: what the schema accepts, and what stays text."""

import functools
from typing import Any, get_args, get_origin

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from launcher.launching.own_file.source import construct


def accepts(schema: type, name: str, value: Any) -> bool:
    """Whether a key of a group can hold the value, by OmegaConf's rules."""
    holder = _holder(schema)
    try:
        holder[name] = value
        OmegaConf.to_container(holder)  # checks what is inside a list
    except (OmegaConfBaseException, ValueError, TypeError):
        return False
    return True


@functools.cache
def _holder(schema: type) -> Any:
    """A group in which values are tried; a refused one is not kept. Making one takes milliseconds."""
    return OmegaConf.structured(schema)


def value_of(hint: Any, node: yaml.Node) -> Any:
    """The node's value; plain words stay text where the key holds text, as in `time: 12:00:00` and `revision: 1e5`."""
    kinds = [one for one in (hint, *get_args(hint)) if one is not type(None)]
    if isinstance(node, yaml.ScalarNode) and str in kinds and int not in kinds and not is_null(node):
        return node.value
    if isinstance(node, yaml.SequenceNode) and get_origin(hint) is list and get_args(hint)[0] is str:
        return [value_of(str, one) for one in node.value]
    return construct(node)


def free_value(node: yaml.Node, text: bool) -> Any:
    """The node's value; as text if YAML would read it as a number with other digits, such as 12:00:00 and 010."""
    if not isinstance(node, yaml.ScalarNode) or is_null(node):
        return construct(node)
    value = construct(node)
    rewritten = type(value) is int and str(value) != node.value
    return node.value if text or rewritten else value


def is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"
