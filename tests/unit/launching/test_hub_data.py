"""Data sets on a hub are looked at before a launch: subset, split and columns."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from launcher.config import Config, DataConfig, TrainerConfig
from launcher.errors import DataError
from launcher.launching.hub_data import look_at_data
from tests.support.hub import Hub, serve

CARD = """---
configs:
- config_name: default
  data_files:
  - {split: train_sft, path: data/train_sft*}
  - {split: test_sft, path: data/test_sft*}
dataset_info:
  features:
  - {name: prompt, dtype: string}
  - {name: prompt_id, dtype: string}
  - name: messages
    list:
    - {name: content, dtype: string}
    - {name: role, dtype: string}
  splits:
  - {name: train_sft, num_examples: 9}
  - {name: test_sft, num_examples: 2}
---
# A data set
"""
PAIRS = {"frage": "x", "chosen": "a", "rejected": "b", "views": 3}


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[Hub]:
    """A hub with me/chats, which has a card, and me/pairs, which has none."""
    folder = tmp_path_factory.mktemp("hub")
    files = {
        "chats": ("README.md", CARD),
        "pairs": ("train.jsonl", f"{json.dumps(PAIRS)}\n{json.dumps(PAIRS)}\n"),
    }
    for name, (file, text) in files.items():
        (folder / name).mkdir()
        (folder / name / file).write_text(text)
    with serve({("dataset", f"me/{name}"): folder / name for name in files}) as hub:
        yield hub


@pytest.fixture
def look(hub: Hub, monkeypatch, capfd) -> Callable[..., str]:
    """What is said before a launch of this method with this data group."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)

    def look(kind: str, **data: Any) -> str:
        config = Config(data=DataConfig(**data), trainer=TrainerConfig(kind=kind))
        look_at_data(config, {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": ""})
        return capfd.readouterr().err

    return look


def test_columns_that_are_not_read_are_reported_before_the_queue(look):
    said = look("sft", path="hub:me/chats:train_sft")
    assert "columns that are not read: prompt, prompt_id; data.drop=[prompt,prompt_id]" in said
    assert look("sft", path="hub:me/chats:test_sft[:10]", drop=["prompt", "prompt_id"]) == ""


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        (
            "sft",
            {"path": "hub:me/chats"},
            r"has no split train; did you mean train_sft\? It has train_sft, test_sft",
        ),
        ("sft", {"path": "hub:me/chats/extra:train_sft"}, "has no subset extra; it has default"),
        (
            "sft",
            {"path": "hub:me/chats:train_sft", "columns": {"messages": "chat"}},
            "it has the columns prompt",
        ),
        ("dpo", {"path": "hub:me/chats:train_sft"}, "holds chats, but trainer.kind=dpo learns from pairs"),
        ("sft", {"path": "hub:me/chats:train_sft", "format": "alpaca"}, "is not of the format alpaca"),
        ("sft", {"path": "hub:me/pairs", "keep": ["frage", "views"]}, "no format has the keys frage, views"),
        ("dpo", {"path": "hub:me/pairs", "eval_path": "hub:me/chats:dev"}, "has no split dev"),
    ],
)
def test_a_name_that_the_data_set_does_not_have_is_refused_before_the_queue(look, kind, data, said: str):
    with pytest.raises(DataError, match=said):
        look(kind, **data)


def test_the_columns_of_a_data_set_without_a_card_are_those_of_its_first_row(look):
    assert "columns that are not read: views" in look("dpo", path="hub:me/pairs", columns={"prompt": "frage"})


def test_a_hub_that_does_not_know_the_data_set_is_left_to_say_so_itself(look):
    assert look("sft", path="hub:me/other") == ""
