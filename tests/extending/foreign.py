"""A distribution of somebody else's, laid out on disk as an installer does."""

from collections.abc import Mapping
from pathlib import Path


def install(
    site: Path, name: str, modules: Mapping[str, str], entry_points: Mapping[str, Mapping[str, str]]
) -> Path:
    """`site`, in which the distribution `name` then lies; it counts for a process that has `site` in PYTHONPATH.

    `modules`: the text of each module by its name. `entry_points`: group -> {variant: module or module:attribute}.
    Source: the "Core metadata" and "Entry points" specifications of packaging.python.org.
    """
    site.mkdir(parents=True, exist_ok=True)
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text)
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, points in entry_points.items()
        for line in (f"[{group}]", *(f"{variant} = {target}" for variant, target in points.items()), "")
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return site
