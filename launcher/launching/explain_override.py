"""One sentence for an override that Hydra refuses without naming its key, its value or the rule."""

import re
from collections.abc import Sequence

from omegaconf.errors import ValidationError

from launcher.config.schema import GROUPS
from launcher.errors import nearest, unknown
from launcher.launching.explain import causes_of, expected, known_keys
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
    return f"{key}={value} must be {expected(key)}{none}"


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
    return f"{start} {found[1]}, which is no key; {hint}"
