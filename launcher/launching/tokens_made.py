"""What `data tokenize` has made, so that a plan can say that a run finds its tokens."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from launcher import __version__
from launcher.config import Config
from launcher.hub import HUB
from launcher.launching.kept import states
from launcher.plan import Facts
from launcher.reading import object_in
from launcher.run import write_text
from launcher.units import number, plural

_WITHOUT_EFFECT = ("path", "eval_path", "check", "num_workers", "prefetch_factor")
"""Keys of the data group that do not change the tokens, as the files' contents do."""


def note_tokens(config: Config, facts: Facts, sets: Sequence[Mapping[str, Any]]) -> None:
    """Writes a note of the sets that were found or made in the cache. Without the note, which is no error, `plan` does not
    mention them."""
    note = _note(config, facts)
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        write_text(note, json.dumps({"sets": [dict(one) for one in sets]}))


def tokens_note(config: Config, facts: Facts) -> list[str]:
    """A sentence if the tokens of this data, model and method are in the cache; nothing otherwise."""
    sets: list[dict[str, Any]] = (object_in(_note(config, facts)) or {}).get("sets", [])
    if not sets or not all(Path(one["folder"], "commit.json").is_file() for one in sets):
        return []
    said = ", ".join(f"{one['set']} ({_size(one)})" for one in sets)
    return [f"the tokens are already in the cache: {said}; the run's GPUs do not wait for them"]


def _size(made: Mapping[str, Any]) -> str:
    size = plural(int(made["rows"]), "sequence")
    return f"{size}, {number(int(made['tokens']))} tokens" if "tokens" in made else size


def _note(config: Config, facts: Facts) -> Path:
    """The path of the note, made from what decides the tokens as far as it is known without a tokenizer; the ranks compare all
    of it."""
    data, model, trainer = dataclasses.asdict(config.data), config.model, config.trainer
    words = (
        {key: repr(value) for key, value in data.items() if key not in _WITHOUT_EFFECT},
        [path if path.startswith(HUB) else [*states([path]).values()] for path in facts.all_data],
        (
            model.name_or_path,
            model.revision,
            model.gguf_file,
            model.adapter,
            model.init.name,
            model.max_length,
        ),
        facts.chat,
        (trainer.kind, trainer.packing, trainer.assistant_only_loss, trainer.loss_type),
        sorted((key, repr(value)) for key, value in trainer.options.items()),
        (config.seed, __version__),
    )
    name = hashlib.sha256(repr(words).encode()).hexdigest()[:24]
    return Path(facts.cache_dir, "tokens", "ahead", f"{name}.json")
