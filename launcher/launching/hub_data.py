"""A look at data sets on the hub before a launch: subset, split and columns, so that no job waits for a wrong name."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from launcher.config import Config
from launcher.data.hub import HubName, parse_hub
from launcher.data.reading import Reading, reading_of
from launcher.hub import HUB, endpoint
from launcher.methods.registry import check_serves
from launcher.output import warn

_ANSWER_S = 8.0
_START = 1 << 18
"""Bytes from the beginning of a file that must hold its first row."""


def look_at_data(config: Config, environ: Mapping[str, str]) -> None:
    """Raises DataError for hub data without the subset, split or columns that the run needs; warns of columns not read.

    Nothing is said where the hub does not say what is in a data set.
    """
    data = config.data
    asked = [(one.path, reading_of(data, at)) for at, one in enumerate(data.sources)]
    asked = asked or ([(data.path, reading_of(data))] if data.path else [])
    asked += [(data.eval_path, reading_of(data))] if data.eval_path else []
    for path, reading in dict(asked).items():
        if path.startswith(HUB):
            _look_at(config, path, reading, environ)


def _look_at(config: Config, path: str, reading: Reading, environ: Mapping[str, str]) -> None:
    from launcher.data.hub import (  # only a run with hub data needs it
        check_columns,
        check_names,
        describe_card,
    )

    if find_spec("huggingface_hub") is None:
        return
    name = parse_hub(path)
    answer = _within(lambda: _ask(name, environ))
    if answer is None:
        return
    card, files = answer
    described = describe_card(card, name.subset)
    check_names(path, name, described)
    columns = described.columns or _within(lambda: _first_columns(name, files, environ)) or ()
    if not columns:
        return
    kind, warnings = check_columns(path, columns, reading)
    check_serves(config.trainer.kind, path, [kind])
    for text in warnings:
        warn(text)


def _ask(name: HubName, environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The metadata of the data set's card, and the names of its files."""
    from huggingface_hub import HfApi

    from launcher.launching.hub_ask import token_of

    api = HfApi(endpoint=endpoint(environ), token=token_of(environ) or False)
    info = api.dataset_info(name.name, revision=name.revision, timeout=_ANSWER_S)
    card = info.card_data.to_dict() if info.card_data else {}
    return card, [one.rfilename for one in info.siblings or []]


def _first_columns(name: HubName, files: list[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    from huggingface_hub import hf_hub_url  # pyright: ignore[reportUnknownVariableType]
    from huggingface_hub.utils import (
        build_hf_headers,  # pyright: ignore[reportUnknownVariableType]
        get_session,
    )

    from launcher.data.hub import columns_of_start, first_file
    from launcher.launching.hub_ask import token_of

    file = first_file(files, name.split.partition("[")[0])
    if file is None:
        return ()
    url = hf_hub_url(name.name, file, repo_type="dataset", revision=name.revision, endpoint=endpoint(environ))
    headers = {**build_hf_headers(token=token_of(environ) or False), "Range": f"bytes=0-{_START}"}
    start = b""
    with get_session().stream(
        "GET", url, headers=headers, timeout=_ANSWER_S, follow_redirects=True
    ) as answer:
        if answer.status_code not in (200, 206):
            return ()
        for piece in answer.iter_bytes():
            start += piece
            if len(start) >= _START:  # a server that does not know ranges sends all of it
                break
    return columns_of_start(file, start)


def _within(send: Callable[[], Any]) -> Any:
    """The answer, or None if there is none within some seconds, or it cannot be read: the nodes read the data anyway."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # pyright: ignore[reportPrivateImportUsage]

    found: list[Any] = []

    def run() -> None:
        # this is only a look ahead: the nodes, which read the data, report what is wrong
        with suppress(HfHubHTTPError, HTTPError, OSError, ValueError, KeyError):
            found.append(send())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_ANSWER_S)
    return found[0] if found else None
