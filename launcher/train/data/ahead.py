"""The verb data tokenize: the tokens of a run's data in the shared cache, before the run exists."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from launcher.config import Config, read_config
from launcher.errors import DataError
from launcher.plan import Facts
from launcher.plugins.decide import facts_from
from launcher.protocol.work.requests import MakeTokens
from launcher.protocol.work.results import Say, Tokenized, TokenSet, WorkProgress
from launcher.train.data.cache import ROWS, Make, TokenCache
from launcher.train.data.encoders import Encoders
from launcher.train.data.tokens import check_renders
from launcher.train.methods.parts import RowParts, make_rows
from launcher.train.model import load_tokenizer

_SAY_S = 0.2


class Ahead:
    """The cache of tokens, and what was found or made in it."""

    def __init__(self, cache_dir: str, encoders: Encoders, say: Say, totals: dict[str, int | None]) -> None:
        self.cache, self.encoders = TokenCache(cache_dir), encoders
        self.sets: list[TokenSet] = []
        self._say, self._totals, self._next = say, totals, 0.0

    @property
    def folder(self) -> Path:
        """The folder of all tokens."""
        return self.cache.folder

    def rows(self, name: str, key: Callable[[], dict[str, Any]], make: Make) -> Path:
        """The file of rows for the result of `key`, as the ranks of a run find it."""
        begun = time.monotonic()
        self._tell(name, 0)
        found = self.cache.find_or_make(key(), make, lambda count: self._tell(name, count))
        took = round(time.monotonic() - begun, 2)
        own = {"set": name, "folder": str(found.folder), "tokenized": found.made, "seconds": took}
        self.sets.append(cast("TokenSet", {**own, **found.facts}))
        return found.folder / ROWS

    def _tell(self, name: str, count: int) -> None:
        if time.monotonic() > self._next:
            self._next = time.monotonic() + _SAY_S
            total = self._totals.get(name)
            self._say(WorkProgress(what=f"tokenizing {name}", done=count, total=total or None))


def answer(request: MakeTokens, say: Say) -> Tokenized:
    """The sets, each found in the cache or made."""
    config, facts = read_text(request.config), facts_from(request.facts)
    say(WorkProgress(what="loading the tokenizer"))
    tokenizer = run_tokenizer(config, facts)
    check_renders(facts, tokenizer, config)
    totals = {"train": facts.rows, "eval": facts.eval_rows}
    ahead = Ahead(facts.cache_dir, Encoders(request.workers), say, totals)
    make_rows(RowParts(config=config, facts=facts, tokenizer=tokenizer, shared=ahead))
    return Tokenized(cache=str(ahead.folder), workers=request.workers, sets=tuple(ahead.sets))


def read_text(text: str) -> Config:
    """The configuration in the text of a config.yaml."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "config.yaml")
        file.write_text(text, encoding="utf-8")
        return read_config(str(file))


def run_tokenizer(config: Config, facts: Facts) -> Any:
    """The run's tokenizer; DataError if the hub does not give it."""
    try:
        return load_tokenizer(config.model, facts, config.seed)
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"model.name_or_path={config.model.name_or_path}: its tokenizer cannot be loaded ({reason}); run `python "
            "-m launcher fetch` with the arguments of this command where the hub can be reached"
        ) from None
