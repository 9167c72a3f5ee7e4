"""The tokenizer with which `data check --model` counts: asked for quickly, and with the chat template of the run."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from launcher.config import Config
from launcher.data.tokenizer import (
    TokenizerSource,
    find_source,
    load_source,
    load_tokenizer,
    source_of,
)
from launcher.errors import DataError, nearest
from launcher.hub import cache_folder, endpoint, find_snapshot, offline_variable, why_unknown
from launcher.launching.model_gate import folder_of
from launcher.output import say
from launcher.plan.chat_format import ChatFormat, fit_tokenizer
from launcher.resources import shipped_models

_OUT = "give a name from conf/model, a folder or a hub id, or leave --model out"
_REFUSALS = {
    401: "there is no such model, or HF_TOKEN is missing",
    403: "request access on its page",
    404: "there is no such model",
}


def tokenizer_of(model: str, chat: ChatFormat | None, environ: Mapping[str, str]) -> tuple[Any, int | None]:
    """The tokenizer as a run has it, and the model's model.max_length if that is known; DataError if there is none.

    A hub is asked once, for some seconds, whether it has the model: its library would ask again for a minute.
    """
    source = find_source(model)
    if cached := source.on_hub and _is_cached(source, environ):
        tokenizer, length = load_tokenizer(model, offline=cached)
    else:
        if source.on_hub:
            _check(source, environ)
        tokenizer, length = load_tokenizer(model)
    if chat is not None:
        fit_tokenizer(tokenizer, chat)
    return tokenizer, length


def tokenizer_at_hand(config: Config, chat: ChatFormat | None) -> Any:
    """The tokenizer of the configuration's model; None if its files, or transformers, are not on this machine."""
    source = source_of(config.model, folder_of(config))
    if source is None or importlib.util.find_spec("transformers") is None:
        return None
    try:
        tokenizer = load_source(source, offline=True)
    except DataError as error:
        say(f"data check: {str(error).removeprefix('--model ')}; the lengths are estimated")
        return None
    if chat is not None:
        fit_tokenizer(tokenizer, chat)
    return tokenizer


def _is_cached(source: TokenizerSource, environ: Mapping[str, str]) -> bool:
    found = find_snapshot(cache_folder(environ), source.where, source.revision or "main")
    return found is not None and any(found.glob("tokenizer*"))


def _check(source: TokenizerSource, environ: Mapping[str, str]) -> None:
    """DataError if the hub cannot provide the model's files."""
    close = nearest(source.model, shipped_models())
    meant = f"; did you mean {close}?" if close and close != source.model else ""
    asked = f"--model {source.model}"
    if source.where.count("/") != 1:
        raise DataError(
            f"{asked} is neither in conf/model nor a folder here, and not a hub id (OWNER/NAME){meant or f'; {_OUT}'}"
        )
    missing = f"{asked} is not a folder here and not in the cache {cache_folder(environ)}"
    if offline := offline_variable(environ):
        raise DataError(f"{missing}, and {offline} is set{meant}; {_OUT}")
    if why := why_unknown(endpoint(environ), environ):
        raise DataError(f"{missing}, and {why}{meant}; {_OUT}")
    from launcher.launching.hub_ask import ask  # imported here: it imports the hub's library

    answer = ask("model", source.where, source.revision or "main", "config.json", environ)
    if answer.status in _REFUSALS and answer.said != "EntryNotFound":
        raise DataError(
            f"{asked}: the hub says {answer.said or answer.status} ({_REFUSALS[answer.status]}){meant}; {_OUT}"
        )
    if not answer.status:
        raise DataError(f"{missing}, and {answer.said}{meant}; {_OUT}")
