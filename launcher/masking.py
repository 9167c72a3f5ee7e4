"""Hides secrets in what is written: values of variables with a secret's name, tokens by their form, passwords in addresses."""

import os
import re
from collections.abc import Mapping
from typing import Any, cast

HIDDEN = "[hidden]"
SHORTEST = 8
"""Characters of the shortest secret that is hidden; hiding shorter values would hide common words too."""
_NAME = re.compile(
    r"TOKEN(?!IZ)|SECRET|PASSW|PASSPHRASE|CREDENTIAL|APIKEY|(?<![A-Z])(PASS|PAT|KEY)(?![A-Z])", re.IGNORECASE
)
"""Matches the names of variables whose values are hidden: more than those that are refused in a configuration."""

# Sources: the prefixes that Hugging Face, OpenAI, GitHub, AWS, Slack and wandb give their tokens.
LOOKS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}|xox[abprs]-[A-Za-z0-9-]{10,}|"
    r"wandb_v\d_[A-Za-z0-9_]{20,})\b"
)
STARTS = ("hf_", "sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "AKIA", "xox", "wandb_v")
"""What LOOKS can begin with: looking for these first is many times faster."""
IN_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,31}://)[^/\s:@]{0,256}:[^/\s@]{1,256}@")


def mask(text: str, environ: Mapping[str, str] | None = None) -> str:
    """The text without secrets; those of this process's environment by default."""
    for name, value in (os.environ if environ is None else environ).items():
        # what begins like a path is the name of a file that holds the secret
        if len(value) >= SHORTEST and value in text and value[0] not in "/~." and _NAME.search(name):
            text = text.replace(value, HIDDEN)
    return IN_ADDRESS.sub(rf"\g<scheme>{HIDDEN}@", LOOKS.sub(HIDDEN, text))


def mask_all(value: Any) -> Any:
    """The value with every text in its lists and objects masked; names of objects are kept."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {key: mask_all(one) for key, one in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [mask_all(one) for one in cast("list[Any]", value)]
    return value
