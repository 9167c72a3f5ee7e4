"""A site's cluster file with some values changed: a line each, and every other line and comment as it was."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from launcher.errors import ConfigError
from launcher.run import write_text

NEW = "defaults: [{kind}, _self_]\n"
"""What a file that is not there yet begins with: one of conf/cluster's own."""


def write_values(path: Path, values: Mapping[str, float], kind: str) -> str:
    """Writes the values into the file, whole or not at all, and returns the difference; a missing file is begun for a place of
    that kind. ConfigError where the file cannot be read, edited or written."""
    path = path.expanduser().resolve()  # a link stays one
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--write {path} is no YAML file; name one such as ~/site/cluster/mysite.yaml")
    try:
        with path.open(newline="") as file:  # its line ends stay
            before = file.read()
    except FileNotFoundError:
        before = ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--write {path} cannot be read: {error}") from None
    after = edit(before or NEW.format(kind=kind), values, str(path))
    if after == before:
        return ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode if before else None
        write_text(path, after)
        if mode is not None:
            path.chmod(mode & 0o7777)
    except OSError as error:
        raise ConfigError(f"--write {path} cannot be written: {error.strerror}") from None
    lines = (before.splitlines(), after.splitlines())
    return "\n".join(difflib.unified_diff(*lines, str(path), str(path), lineterm="", n=1))


def edit(text: str, values: Mapping[str, float], where: str) -> str:
    """The text with those top-level values; ConfigError where a line's change would not be just that."""
    try:
        old = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not YAML: {str(error).splitlines()[0]}") from None
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines()
    hidden = False
    for key, value in values.items():
        word = f"{value:.0f}" if float(value).is_integer() else repr(float(value))
        pattern = re.compile(rf"({key}\s*:\s+)[^\s#]+(\s*(#.*)?)")
        at = next((number for number, line in enumerate(lines) if pattern.fullmatch(line)), None)
        if at is None:
            hidden = hidden or (isinstance(old, dict) and key in old)
            while lines and not lines[-1].strip():
                lines.pop()
            lines.append(f"{key}: {word}")
        else:
            lines[at] = pattern.sub(rf"\g<1>{word}\g<2>", lines[at])
    new = end.join(lines) + end
    if hidden or not isinstance(old, dict) or _loaded(new) != {**old, **values}:
        raise ConfigError(
            f"{where} is written in a way that no single line can be changed in; put the values in by hand"
        )
    return new


def _loaded(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
