"""All other tools whose recipes can be read, and the look-up of one by its name."""

from launcher.recipes.base import Tool
from launcher.registry import Registry

TOOLS = Registry(
    kind="recipe tool",
    key="--tool",
    package="launcher.recipes",
    group="launcher.recipes",
    spec=Tool,
    skipped=frozenset(
        {
            "base",
            "registry",
            "arguments",
            "axolotl_keys",
            "axolotl_rows",
            "beside",
            "convert",
            "experts",
            "fit",
            "limits",
            "parts",
            "recognise",
            "sharding",
        }
    ),
)
