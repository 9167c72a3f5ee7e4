"""The choice of a group's files is one name or a list of names: another list is refused, with the key that takes such a list.

Hydra 1.3 ends in a TypeError at any other item of the list.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, cast, get_args, get_origin, get_type_hints

from launcher.config.schema import GROUPS
from launcher.errors import ConfigError
from launcher.resources import resource_dir

_LIST = re.compile(rf"\+*({'|'.join((*GROUPS, 'plugin', 'experiment'))})(?:@[^=]*)?=(.*\[.*)", re.DOTALL)


def check_choices(arguments: Sequence[str]) -> None:
    """ConfigError for a group that is set to a list with anything but names."""
    for word in arguments:
        if found := _LIST.fullmatch(word):
            for item in _items(word):
                if not isinstance(item, str):
                    raise ConfigError(_refusal(word.partition("=")[0], found[1], found[2], item))


def _items(word: str) -> list[Any]:
    """The items of the list, or of each list of a sweep; none for what Hydra cannot read, which it refuses by itself."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import ChoiceSweep, QuotedString
    from hydra.errors import HydraException

    try:
        value: Any = OverridesParser.create().parse_override(word).value()
    except HydraException:
        return []
    choices = cast("list[Any]", value.list) if isinstance(value, ChoiceSweep) else [value]
    items = [item for choice in choices if isinstance(choice, list) for item in cast("list[Any]", choice)]
    return [item.text if isinstance(item, QuotedString) else item for item in items]


def _refusal(typed: str, group: str, value: str, item: Any) -> str:
    names = sorted({path.stem for path in (resource_dir("conf") / group).glob("*.yaml")} - {"schema"})
    listed = f" ({', '.join(names)})" if len(names) <= 12 else f", such as {names[0]}"
    keys = set(map(str, cast("dict[Any, Any]", item))) if isinstance(item, dict) else set[str]()
    ways = [f"{key}={value}" for key in _lists_of(group, keys)] if keys else []
    if keys and group in GROUPS and keys <= set(get_type_hints(GROUPS[group])):
        ways.append(f"{group}.{min(keys)}=VALUE")
    way_out = f"write {' or '.join(ways)}" if ways else f"write {typed}={names[0]}"
    return f"{group}={value}: a list after {typed}= holds names of its files{listed}, not values; {way_out}"


def _lists_of(group: str, keys: set[str]) -> list[str]:
    """The keys of the group whose values are lists of items with these keys."""
    hints = get_type_hints(GROUPS[group]) if group in GROUPS else {}
    items = {name: get_args(hint)[0] for name, hint in hints.items() if get_origin(hint) is list}
    return [
        f"{group}.{name}"
        for name, kind in items.items()
        if dataclasses.is_dataclass(kind) and keys <= {field.name for field in dataclasses.fields(kind)}
    ]
