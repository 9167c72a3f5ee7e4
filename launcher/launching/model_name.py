"""Whether a name can be that of a model on a hub: a mistyped one is refused before the queue, with or without a network."""

import re
from urllib.parse import urlsplit

from launcher.errors import ConfigError, nearest
from launcher.resources import shipped_models

PLAIN = re.compile(r"(?!.*(--|\.\.|\.git$))(\b[\w.-]+\b/)?\b[\w.-]{1,96}\b", re.ASCII)
"""A name that a repository can have. Source: huggingface_hub/utils/_validators.py, validate_repo_id."""
_PREFIX = re.compile(r"(hf|hub|huggingface)://?|(hf|hub|huggingface):")
_BELOW = re.compile(r"/(?:tree|blob|resolve)/([^/]+)")
_REVISION = "model.revision"


def check_hub_name(key: str, name: str, revision: str = _REVISION) -> None:
    """ConfigError for a name that no repository of a hub can have, and for a mistyped name of conf/model.

    The name is not that of a folder of this machine. `revision` is the key of the revision of the same model.
    """
    told = f"{key}={name!r}" if name != name.strip() or not name else f"{key}={name}"
    close = nearest(name.lower().replace("-", "_"), shipped_models()) if "/" not in name else None
    if close and _alike(name, close):
        raise ConfigError(
            f"{told} is neither a folder here nor a model on a hub, whose id is OWNER/NAME; did you mean model={close}?"
        )
    if PLAIN.fullmatch(name) and not name.endswith(".gguf"):
        return
    if not name.strip():
        raise ConfigError(
            f"{told} names no model; give a folder, the id of a model on the hub, or a name of conf/model: model=NAME"
        )
    if name.lower().endswith((".gguf", ".safetensors", ".bin", ".pt")):
        raise ConfigError(
            f"{told} is a file that is not here; give the folder of a model, or the id of one on the hub"
        )
    raise ConfigError(
        f"{told} is neither a folder here nor an id that a model on a hub can have{_meant(key, name, revision)}"
    )


def _alike(name: str, close: str) -> bool:
    """Whether the two differ in case, in dashes, or in two characters at most."""
    from difflib import SequenceMatcher  # imported here: only a name without its owner needs it

    one, other = name.lower().replace("-", "_"), close.lower()
    same = sum(
        block.size for block in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    )
    return max(len(one), len(other)) - same <= 2


def _meant(key: str, name: str, revision: str) -> str:
    """What was meant, as a way out."""
    text = name.strip()
    if "://" in text and not _PREFIX.match(text):
        text = urlsplit(text).path.strip("/")
    text = _PREFIX.sub("", text).strip("/")
    named = _BELOW.search(text)
    text, _, at = _BELOW.sub("", text).partition("@")
    text = "/".join(text.split("/")[:2]) if named or "://" in name else text
    at = at or (named[1] if named and named[1] != "main" else "")
    if text != name and PLAIN.fullmatch(text):
        return f"; write {key}={text}{f' {revision}={at}' if at else ''}"
    if "/" in text:
        return "; check the path of the folder, or write an id as OWNER/NAME"
    return "; write the id as OWNER/NAME, of letters, digits, '.', '-' and '_'"
