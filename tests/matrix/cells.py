"""The cells of the matrix, and what is typed for each."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher.methods.registry import METHODS, find_method
from launcher.resources import resource_dir
from tests.support.tiny_model import write_tiny

TRAINERS = METHODS.own_names()
PLUGINS = ("none", "lora", "qlora")
STRATEGIES = ("ddp", "zero2", "zero3", "fsdp2")
DATA = {
    "chat": "chats", "text": "texts", "pair": "pairs", "labelled": "labelled", "prompt": "prompts", "classified": "classified",
}  # fmt: skip
"""Kind of rows -> the file of them that `write_data` writes."""
RATES = {"none": 1e-3, "lora": 1e-2, "qlora": 1e-2}
"""Learning rates at which the tiny model learns in a few steps."""
DPO_QLORA_RATE = 2e-3
"""At 1e-2 it has learnt the pairs in two steps, and the loss of the fourth is above the first."""
STEPS = 4
REWARDS = '''"""A reward that can be had from random weights: the share of small letters."""


def letters(completions, **_):
    said = [completion[0]["content"] for completion in completions]
    return [sum("a" <= letter <= "z" for letter in text) / max(len(text), 1) for text in said]
'''


@dataclass(frozen=True, order=True)
class Cell:
    """One combination."""

    trainer: str
    plugin: str
    checkpointing: bool
    strategy: str
    ranks: int

    @property
    def name(self) -> str:
        return f"{self.trainer} {self.plugins} {self.strategy} {self.ranks}"

    @property
    def plugins(self) -> str:
        return f"{self.plugin}+gradient_checkpointing" if self.checkpointing else self.plugin

    @property
    def rate(self) -> float:
        return DPO_QLORA_RATE if (self.trainer, self.plugin) == ("dpo", "qlora") else RATES[self.plugin]

    def overrides(self, folder: Path) -> list[str]:
        """What is typed for it."""
        plugins = [
            *([] if self.plugin == "none" else [self.plugin]),
            *(["gradient_checkpointing"] if self.checkpointing else []),
        ]
        method = find_method(self.trainer)
        typed = [
            f"trainer={self.trainer}", f"plugin=[{','.join(plugins)}]", f"strategy={self.strategy}",
            f"resources.gpus_per_node={self.ranks}", "batch.global_batch_size=4", "batch.micro_batch_size=2",
            f"trainer.learning_rate={self.rate}", f"trainer.max_steps={STEPS}", "trainer.lr_scheduler_type=constant",
            f"data.path={folder}/{DATA[method.learns_from[0]]}.jsonl", "data.eval_path=null", "model.max_length=384",
        ]  # fmt: skip
        if method.teacher is not None:
            typed.append(f"trainer.teacher={folder}/teacher")
        if method.draws is not None:
            typed += [
                "trainer.reward_functions=[{_target_: matrix_rewards.letters}]", "trainer.num_generations=4",
                "trainer.max_completion_length=16",
            ]  # fmt: skip
        return typed


def all_cells() -> Iterator[Cell]:
    """Every combination; those of two ranks first, which show more."""
    for ranks, checkpointing, strategy, trainer, plugin in itertools.product(
        (2, 1), (False, True), STRATEGIES, TRAINERS, PLUGINS
    ):
        yield Cell(trainer, plugin, checkpointing, strategy, ranks)


def write_data(folder: Path) -> None:
    """A file of each kind of rows, made of the shipped chats, the module with the reward, and a teacher."""
    lines = (resource_dir("conf") / "data" / "quickstart" / "train.jsonl").read_text().splitlines()
    chats = sorted((json.loads(line)["messages"] for line in lines), key=lambda chat: len(str(chat)))[:32]
    questions, answers = [chat[:-1] for chat in chats], [chat[-1]["content"] for chat in chats]
    wrong = [answer.upper() for answer in answers[1:] + answers[:1]]
    said = list(zip(questions, answers, wrong, strict=True))
    rows = {
        "chats": [{"messages": chat} for chat in chats],
        "texts": [{"text": answer} for answer in answers],
        "pairs": [{"prompt": ask, "chosen": _turn(good), "rejected": _turn(bad)} for ask, good, bad in said],
        "labelled": [
            {"prompt": ask, "completion": _turn((good, bad)[number % 2]), "label": number % 2 == 0}
            for number, (ask, good, bad) in enumerate(said)
        ],
        "classified": [
            {"text": (good, bad)[number % 2], "label": ("quiet", "loud")[number % 2]}
            for number, (_, good, bad) in enumerate(said)
        ],
        "prompts": [{"prompt": ask, "answer": good} for ask, good, _ in said],
    }
    for name, content in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    (folder / "matrix_rewards.py").write_text(REWARDS)
    write_tiny(folder / "teacher", seed=5, layers=3, spread=0.3)


def _turn(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]
