"""One sentence for an error of Hydra that does not name its cause: an override without its key, value or rule, and a site's own
YAML file that cannot be read, or holds a list where keys belong.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_origin, get_type_hints

from omegaconf.errors import ValidationError
from yaml import MarkedYAMLError, YAMLError, safe_load

from launcher.config import Config
from launcher.config.schema import GROUPS
from launcher.config.texts import dataclass_of
from launcher.errors import nearest, unknown
from launcher.launching.explain import causes_of, config_dir_of, expected, known_keys, without_unit
from launcher.resources import resource_dir

_OPTIONS_OF_GROUPS = (*GROUPS, "plugin", "experiment")


def explain_override(error: BaseException, arguments: Sequence[str]) -> str | None:
    """One sentence, or None where the error is not of this kind."""
    causes = [*causes_of(error)]
    said = "\n".join(str(cause) for cause in causes)
    named = any(isinstance(cause, ValidationError) and cause.full_key for cause in causes)
    if not named and (found := re.search(r"Error merging override ([^\n]*)", said)):
        return _merging(found[1].lstrip("+"))
    if "Config group override must be a string or a list" in said:
        return _group(arguments)
    if found := re.search(r"Could not delete[^']*'([^']*)'", said):
        return (
            f"~{found[1]} removes nothing, because no option of a group and no key is called so; take it out"
        )
    if found := re.search(r"Multiple values for (\w+)", said):
        return f"{found[1]} is chosen already, so + cannot add another; write {found[1]}=NAME without +"
    if found := re.search(r"(\w+) appears more than once in the final defaults list", said):
        return f"{found[1]} is given more than once; give it once"
    return _interpolation(said, arguments)


def _merging(override: str) -> str:
    key, _, value = override.partition("=")
    if key.startswith("~"):
        return f"{override} cannot remove a key, because every run has it; set it to null, or to its default"
    none = "; 'plugin=[]' chooses none" if key == "plugins" else ""
    return f"{key}={value} must be {expected(key)}{without_unit(key, value)}{none}"


def _group(arguments: Sequence[str]) -> str | None:
    """The option of a group that is neither a name nor a list: null, a number or a boolean."""
    for word in arguments:
        key, _, value = word.lstrip("+").partition("=")
        group = key.partition("@")[0]
        if group in _OPTIONS_OF_GROUPS and re.fullmatch(r"null|true|false|[-+.\deE]+", value, re.IGNORECASE):
            known = [path.stem for path in (resource_dir("conf") / group).glob("*.yaml")]
            rule = f"'{key}=[]' chooses none; " if group == "plugin" else ""
            return f"{key}={value}: {rule}{unknown(group, value, known)}"
    return None


def _interpolation(said: str, arguments: Sequence[str]) -> str | None:
    """A reference ${...} to something that is not there, with the override that holds it."""
    variable = re.search(r"Environment variable '([^']+)' not found", said)
    missing = re.search(r"Interpolation key '([^']+)' not found", said)
    found = variable or missing
    if found is None:
        return None
    holder = next((word.lstrip("+") for word in arguments if "${" in word and found[1] in word), None)
    start = f"{holder} refers to" if holder else "a value refers to"
    if variable:
        return f"{start} the environment variable {found[1]}, which is not set; set it, or write ${{oc.env:{found[1]},DEFAULT}}"
    close = nearest(found[1], known_keys())
    hint = f"did you mean ${{{close}}}?" if close else "write \\${...} in single quotes for plain text"
    return f"{start} {found[1]}, which is not a key; {hint}"


def explain_file(error: BaseException, arguments: Sequence[str]) -> str | None:
    """One sentence with the file and its line, or None where the error is not of this kind."""
    folder = config_dir_of(list(arguments))
    for cause in causes_of(error):
        if isinstance(cause, MarkedYAMLError) and cause.problem_mark is not None:
            mark, problem = cause.problem_mark, " ".join((cause.problem or "").split())
            return f"{mark.name} is not YAML: line {mark.line + 1}: {problem}; correct the line"
        if isinstance(cause, UnicodeDecodeError) and folder:
            return _undecodable(folder, arguments)
    if folder and (missing := re.search(r"Additional config directory '([^']+)' not found", str(error))):
        return f"--config-dir={missing[1]} is not a folder; give the folder that holds cluster/, experiment/, ..."
    named = re.match(r"In '([^']+)': \w+ raised while composing", str(error))
    if named and folder and "KeyValidationError" in named[0]:
        from launcher.launching.plain_words import key_fault  # imported here: it reads the file

        return key_fault(folder / f"{named[1]}.yaml")
    return _list_for_keys(folder, named[1]) if named and folder else None


def _undecodable(folder: Path, arguments: Sequence[str]) -> str | None:
    """A sentence with the first such file of the folder, those that the arguments name first."""
    named = {word.rpartition("=")[2] for word in arguments}
    for path in sorted(folder.rglob("*.yaml"), key=lambda path: (path.stem not in named, path)):
        try:
            path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            line = path.read_bytes()[: error.start].count(b"\n") + 1
            return f"{path} is not UTF-8 text (line {line} has the byte {error.object[error.start]:#x}); save it as UTF-8"
        except OSError:
            continue
    return None


def _list_for_keys(folder: Path, name: str) -> str | None:
    """A sentence for a list where the schema has a group of keys or a mapping."""
    path, group = folder / f"{name}.yaml", name.partition("/")[0]
    try:
        loaded: Any = safe_load(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError, UnicodeDecodeError):
        return None
    if isinstance(loaded, list):
        return f"{path} holds a list; write keys with values, such as KEY: VALUE"
    schema, prefix = (GROUPS[group], f"{group}.") if group in GROUPS else (Config, "")
    found = (
        _misplaced(cast("Mapping[str, Any]", loaded), schema, prefix) if isinstance(loaded, Mapping) else None
    )
    return f"in {path}: {found[0]}={found[1]} must be {expected(found[0])}" if found else None


def _misplaced(node: Mapping[str, Any], schema: type, prefix: str) -> tuple[str, Any] | None:
    """The first key that has a list instead of keys, and the list."""
    hints = get_type_hints(schema)
    for name, value in node.items():
        hint = hints.get(name)
        below = dataclass_of(hint)
        keys = get_origin(hint) is dict or (below is not None and get_origin(hint) is not list)
        if isinstance(value, list) and keys:
            return f"{prefix}{name}", cast("Any", value)
        if isinstance(value, Mapping) and below is not None:
            found = _misplaced(cast("Mapping[str, Any]", value), below, f"{prefix}{name}.")
            if found:
                return found
    return None
