"""A cluster file from the findings of a probe. Each line has a comment with the source of its value."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from launcher.clusters.site_facts import SiteFact
from launcher.errors import ConfigError
from launcher.run import write_text

_WIDTH = 44
"""Column of the comments."""


def render(kind: str, findings: Sequence[SiteFact], day: date) -> str:
    """The text of the file. Values of Slurm's own options are quoted, so that YAML reads them as they are typed."""
    keyed = [one for one in findings if one.key and one.value is not None]
    top = [one for one in keyed if "." not in str(one.key)]
    nested: dict[str, list[SiteFact]] = {}
    for one in keyed:
        group, dot, _ = str(one.key).partition(".")
        if dot:
            nested.setdefault(group, []).append(one)
    lines = [
        f"# Written by `launcher site probe` on {day.isoformat()}. In FOLDER/cluster/NAME.yaml, it is used by",
        "# --config-dir FOLDER cluster=NAME.",
        f"defaults: [{kind}, _self_]",
        *(_line(str(one.key), one) for one in top),
    ]
    for group, members in nested.items():
        lines.append(f"{group}:")
        lines += [_line(f"  {str(one.key).partition('.')[2]}", one, quoted=True) for one in members]
    lines.append("# Further facts:")
    lines += [_fact(one) for one in findings if not one.key or one.value is None]
    return "\n".join(lines) + "\n"


def check_new(path: Path) -> Path:
    """The path with ~ expanded; ConfigError if it is not the name of a YAML file, or exists."""
    path = path.expanduser()
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--write {path} is not a YAML file; name one such as ~/site/cluster/mysite.yaml")
    if path.exists():
        raise ConfigError(
            f"--write {path} exists and was not changed; name a new file, or compare with `launcher site check`"
        )
    return path


def write_new(path: Path, text: str) -> Path:
    """Writes a new file and returns its path; ConfigError if it exists, or cannot be written."""
    path = check_new(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise ConfigError(f"--write {path} cannot be written: {error.strerror}") from None
    return path


def _line(key: str, one: SiteFact, *, quoted: bool = False) -> str:
    value = json.dumps(str(one.value) if quoted else one.value)
    note = f"; {one.note}" if one.note else ""
    return f"{f'{key}: {value}':<{_WIDTH}}# {one.how}{note}"


def _fact(one: SiteFact) -> str:
    value = "unknown" if one.value is None else one.value
    note = f"; {one.note}" if one.note else ""
    return f"#   {one.what}: {value} ({one.how}){note}"
