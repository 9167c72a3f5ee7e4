"""The name of a data set on the hub: hub:NAME[/SUBSET][:SPLIT][@REVISION]."""

import re
from dataclasses import dataclass

from launcher.errors import DataError

_NAME = re.compile(
    r"hub:(?P<name>[\w.-]+(/[\w.-]+)?)(/(?P<subset>[\w.-]+))?(:(?P<split>[\w.%:\[\]-]+))?(@(?P<revision>[\w./-]+))?"
)


@dataclass(frozen=True, slots=True)
class HubName:
    """The arguments for datasets.load_dataset."""

    name: str
    subset: str | None
    split: str
    revision: str | None


def parse_hub(text: str) -> HubName:
    """The parts of the name; DataError if it is not the name of a hub data set. The split is `train` unless given."""
    found = _NAME.fullmatch(text)
    if not found:
        raise DataError(
            f"{text} is not the name of a hub data set; write hub:NAME[/SUBSET][:SPLIT][@REVISION]"
        )
    return HubName(found["name"], found["subset"], found["split"] or "train", found["revision"])
