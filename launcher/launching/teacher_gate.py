"""A look at the teacher of a distillation before a launch: whether it is there, and whether it has the model's vocabulary.

It reads a folder, or the hub's cache if the teacher was fetched before. It asks no hub, and the ranks compare again.
"""

import os
from pathlib import Path
from typing import Any

from launcher.config import Config
from launcher.errors import ConfigError
from launcher.hub import cache_folder, find_snapshot, is_path
from launcher.launching.model_gate import folder_of, refuse_other_kinds
from launcher.launching.model_name import check_hub_name
from launcher.methods.registry import find_method
from launcher.plan import LaunchPlan
from launcher.plan.chat_format import ChatFormat
from launcher.plan.model import count_parameters
from launcher.reading import object_in
from launcher.units import percent, plural

_FILE = "tokenizer.json"


def check_teacher(config: Config, chat: ChatFormat | None) -> dict[str, Any] | None:
    """The config.json of the teacher; None if the run loads none, or its files are not on this machine.

    ConfigError for a teacher that is not a causal language model of text, or whose vocabulary is not the trained model's.
    """
    name = find_method(config.trainer.kind).teacher_of(config)
    if name is None:
        return None
    told, own = f"trainer.teacher={name}", Path(name)
    if name.startswith("package:"):
        raise ConfigError(
            f"{told} is a package; give a folder, such as that of an export, or the id of a hub"
        )
    if own.is_file():
        raise ConfigError(f"{told} is a file; give the folder that it is in")
    if is_path(name) and not own.is_dir():
        raise ConfigError(
            f"{told} is not a folder here; check the path, or give the id of a model on the hub"
        )
    environ = {**os.environ, **config.cluster.env}
    revision = config.trainer.teacher_revision or "main"
    folder = own if own.is_dir() else find_snapshot(cache_folder(environ), name, revision)
    if folder is None:
        check_hub_name("trainer.teacher", name, revision="trainer.teacher_revision")
        return None
    values = object_in(folder / "config.json")
    if values is None:
        if own.is_dir():
            raise ConfigError(
                f"{told} is not the folder of a model: it has no config.json; give one that save_pretrained wrote"
                + (
                    "; an adapter is merged first: python -m launcher export RUN --merged"
                    if _is_adapter(own)
                    else ""
                )
            )
        return None
    refuse_other_kinds(told, values)
    _check_vocabulary(told, config, folder, chat)
    return values


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _check_vocabulary(told: str, config: Config, folder: Path, chat: ChatFormat | None) -> None:
    own = folder_of(config)
    if not (folder / _FILE).is_file():
        return
    from launcher.data.vocabulary import (  # imported here, as below: few runs have a teacher
        first_difference,
        read_vocabulary,
    )

    teacher = read_vocabulary(folder / _FILE)
    for token in chat.trained if chat else ():
        if teacher and token not in teacher:
            raise ConfigError(
                f"{told} lacks token {token!r}, which model.chat_template={config.model.chat_template} adds to the trained "
                "model; use the template of the teacher"
            )
    if own is None or not (own / _FILE).is_file() or _same_file(own / _FILE, folder / _FILE):
        return
    student = read_vocabulary(own / _FILE)
    difference = first_difference(student, teacher) if student and teacher else None
    if difference:
        raise ConfigError(
            f"{told} has another vocabulary than {config.model.name_or_path} ({difference}), so their predictions cannot be "
            "compared; use a teacher of the same family"
        )


def _same_file(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def check_stored(config: Config) -> None:
    """ConfigError if trainer.teacher_logits is not a stored output, or was stored with other settings than the run's."""
    if config.trainer.teacher_logits is not None:
        from launcher.data.stored_output import check_stored_output, read_stored_output

        check_stored_output(config, read_stored_output(config.trainer.teacher_logits))


def stored_note(config: Config) -> list[str]:
    """A sentence about the stored output that a run learns from; none without one."""
    folder = config.trainer.teacher_logits
    if folder is None or not Path(folder).is_dir():
        return []
    from launcher.data.stored_output import read_stored_output

    taught = read_stored_output(folder)
    left = f"; all others, with {percent(taught.left_out)} of the probability, count as one"
    return [
        f"the stored output of {taught.teacher} has the {taught.top_k:,} most likely next tokens at {taught.tokens:,} tokens"
        + (left if taught.top_k < taught.vocabulary else "")
    ]


def teacher_note(plan: LaunchPlan) -> list[str]:
    """A sentence about the teacher that a run loads; none without one."""
    name = plan.facts.teacher_name
    if name is None:
        return []
    shape, held = plan.facts.teacher, "whole on every rank"
    if plan.strategy.acting(plan.degrees).shards_weights:
        held = f"sharded over {plural(plan.degrees.shard_size, 'rank')}"
    size = f", {count_parameters(shape) / 1e9:.3g} billion parameters" if shape else ""
    return [f"the teacher is {name}{size}, frozen, {held}"]
