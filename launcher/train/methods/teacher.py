"""The teacher of a distillation: a frozen second model that predicts what the trained one learns."""

import dataclasses
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from launcher.config import Config, Init, ModelConfig
from launcher.data.vocabulary import first_difference
from launcher.errors import ConfigError
from launcher.hub import is_path
from launcher.plan import Facts
from launcher.train.data.packing import check_packable
from launcher.train.methods.parts import Parts
from launcher.train.model import load_model, source_of
from launcher.train.strategies.base import on_rank


def teacher_model(config: Config) -> ModelConfig:
    """The model group of the teacher: that of the trained model, with another name and its own weights."""
    assert config.trainer.teacher
    return dataclasses.replace(
        config.model,
        name_or_path=config.trainer.teacher,
        revision=config.trainer.teacher_revision,
        init=Init.pretrained,
        architecture=None,
        gguf_file=None,
        adapter=None,
        chat_template=None,
    )


def load_teacher(parts: Parts) -> Any:
    """The teacher, frozen, in the format of the forward pass, and sharded like the trained model.

    ConfigError if its tokenizer differs from the trained model's. Collective.
    """
    config, plan = parts.config, parts.plan
    model = teacher_model(config)
    check_vocabulary(model, parts.tokenizer, plan.facts, config.seed)
    as_loaded = dataclasses.replace(
        plan,
        adapter=None,
        weights_dtype="bfloat16" if plan.precision == "bf16" else "float32",
        facts=dataclasses.replace(plan.facts, chat=None),
    )
    teacher = load_model(model, as_loaded, (), config.seed, hooks=(), together=True, pinned=False)
    teacher.requires_grad_(False)
    teacher.eval()
    if config.trainer.packing:
        check_packable(teacher)
    on_rank(plan.strategy).shard_frozen(teacher, as_loaded)
    return teacher


def check_vocabulary(model: ModelConfig, tokenizer: Any, facts: Facts, seed: int) -> None:
    """ConfigError if the teacher reads any token as another number than the trained model."""
    if is_path(model.name_or_path) and not Path(facts.work_dir, model.name_or_path).is_dir():
        raise ConfigError(
            f"trainer.teacher={model.name_or_path} is not a folder on this node; is it on a shared disk?"
        )
    where, revision = source_of(model, facts, seed, pinned=False)
    try:
        own = AutoTokenizer.from_pretrained(
            where, revision=revision, trust_remote_code=model.trust_remote_code
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"trainer.teacher={model.name_or_path}: its tokenizer cannot be loaded ({reason}); it must be the trained model's: "
            "put it into the teacher's folder"
        ) from None
    difference = first_difference(tokenizer.get_vocab(), own.get_vocab())
    if difference:
        raise ConfigError(
            f"trainer.teacher={model.name_or_path} has another vocabulary than the trained model ({difference}), so their "
            "predictions cannot be compared; use a teacher of the same family"
        )
