"""A site's cluster file with some values changed; its comments, order and quotes stay."""

import difflib
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any, cast

import yaml

from launcher.errors import ConfigError
from launcher.run import write_text

NEW = "defaults: [{kind}, _self_]\n"
"""The first line of a new file: it is based on one of conf/cluster."""
_WIDTH = 1 << 16
"""Longest line in characters; longer lines would be folded."""


def write_values(path: Path, values: Mapping[str, float], kind: str) -> str:
    """Writes the values into the file atomically and returns the difference; a missing file is created for a cluster of
    that kind. ConfigError if the file cannot be read, edited or written."""
    path = path.expanduser().resolve()  # a symbolic link is kept
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--write {path} is not a YAML file; name one such as ~/site/cluster/mysite.yaml")
    try:
        with path.open(newline="") as file:  # keeps its line ends
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
    """The text with those top-level values, edited by ruamel.yaml: comments, order and quotes stay.

    ConfigError if the text is not a YAML mapping, or if a run would then read any other changed value.
    """
    from ruamel.yaml import YAML  # imported here because it takes 0.2 s
    from ruamel.yaml.error import YAMLError

    editor: Any = YAML()
    editor.preserve_quotes, editor.width = True, _WIDTH
    editor.representer.add_representer(type(None), _null)
    end = "\r\n" if "\r\n" in text else "\n"
    try:
        old: Any = yaml.safe_load(text)
        loaded: Any = editor.load(text.replace("\r\n", "\n"))
    except (yaml.YAMLError, YAMLError, ValueError, RecursionError, OverflowError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{where} is not YAML: {said}") from None
    if not isinstance(old, dict):
        raise ConfigError(f"{where} is not a mapping of keys to values, as a cluster file is")
    wanted = {**cast("dict[str, Any]", old), **values}
    if wanted == old:
        return text
    for key, value in values.items():
        if cast("dict[str, Any]", old).get(key) != value:
            loaded[key] = int(value) if float(value).is_integer() else float(value)
    dash = _column(loaded, list, 0)
    editor.indent(mapping=_column(loaded, dict, 2), sequence=dash + 2, offset=dash)
    stream = StringIO()
    editor.dump(loaded, stream)
    new = stream.getvalue()
    if yaml.safe_load(new) != wanted:  # a run reads YAML 1.1, where 1e-05 is a string
        raise ConfigError(f"{where} cannot be edited so that a run reads these values; edit the file by hand")
    return new.replace("\n", end)


def _null(representer: Any, value: None) -> Any:
    """`null`, as in our own files; ruamel.yaml would write an empty value."""
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _column(loaded: Any, kind: type, default: int) -> int:
    """The column of the first nested block of a kind; the whole file is written with this indentation."""
    blocks = (one for one in loaded.values() if isinstance(one, kind) and not one.fa.flow_style())
    return next((int(one.lc.col) for one in blocks), default)
