"""Classification on real ranks: what a toy set teaches, equal losses however it is sharded, and what the result answers."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.__main__ import main
from tests.support.runs import Finished
from tests.support.shapes import check_printed
from tests.support.warm import Warm
from tests.training.resuming import planned

pytestmark = pytest.mark.train

WORDS = {
    "animal": ("cow", "horse", "goat"),
    "tool": ("saw", "drill", "hammer"),
    "drink": ("tea", "milk", "juice"),
}
LOSSES_OF = ("trainer.max_steps=4", "trainer.lr_scheduler_type=constant", "plugins.lora.r=8")


def toy(seed: int, count: int) -> list[dict[str, Any]]:
    """Texts whose class is told by a word."""
    draw = random.Random(seed)
    found = []
    for at in range(count):
        label = sorted(WORDS)[at % len(WORDS)]
        found.append({"text": f"{draw.choice('abcdefg')} {draw.choice(WORDS[label])}", "label": label})
    return found


def plugins(plugin: str) -> str:
    return f"plugin=[{plugin},sharded_checkpoint]" if plugin else "plugin=[sharded_checkpoint]"


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.jsonl and eval.jsonl, and the same for several classes to a row."""
    folder = tmp_path_factory.mktemp("toys")
    write(folder / "train.jsonl", toy(1, 192))
    write(folder / "eval.jsonl", toy(2, 31))
    for name in ("train", "eval"):
        rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        pairs = zip(rows, rows[1:] + rows[:1], strict=True)
        several = [
            {
                "text": f"{one['text']} {other['text']}" if at % 2 else "x",
                "labels": [one["label"], other["label"]] if at % 2 else [],
            }
            for at, (one, other) in enumerate(pairs)
        ]
        write(folder / f"{name}_several.jsonl", several)
    return folder


def typed(data: Path, *more: str, name: str = "") -> tuple[str, ...]:
    return (
        "trainer=classify", f"data.path={data}/train{name}.jsonl", f"data.eval_path={data}/eval{name}.jsonl",
        "data.check=errors", "model.max_length=64", "batch.global_batch_size=8", "batch.micro_batch_size=4",
        "trainer.learning_rate=1e-2", *more,
    )  # fmt: skip


@pytest.fixture(scope="session")
def sorted_well(straight: Callable[..., Finished], data: Path) -> Finished:
    """An adapter that has learnt the toy set, on two ranks."""
    return straight(
        *typed(data, "trainer.max_steps=160", "resources.gpus_per_node=2", "plugin=[lora,sharded_checkpoint]")
    )


@pytest.mark.parametrize("plugin", ["", pytest.param("lora", marks=pytest.mark.long)])
def test_a_separable_toy_set_reaches_100_percent(straight, data, plugin: str):
    run = straight(*typed(data, "trainer.max_steps=160", "resources.gpus_per_node=2", plugins(plugin)))
    first, last = (run.events("classified")[at] for at in (0, -1))
    assert (first["rows"], last["rows"]) == (31, 31)
    assert first["accuracy"] < 0.8 and last["accuracy"] == last["macro_f1"] == 1.0
    assert [[a, b] for a, b, _ in last["confusion"]] == [[0, 0], [1, 1], [2, 2]]
    assert run.events("exported")[0]["verified"] == "logits"
    evaluated = [line for line in run.metrics() if "eval_loss" in line]
    assert evaluated[-1]["eval_accuracy"] == 1.0 and evaluated[-1]["eval_loss"] < 0.2


@pytest.mark.parametrize(
    "more",
    [
        pytest.param((), id="plain", marks=pytest.mark.long),
        pytest.param(("trainer.class_weight=balanced",), id="weighted"),
        pytest.param(
            ("trainer.multi_label=true", "trainer.class_weight=balanced"),
            id="several",
            marks=pytest.mark.long,
        ),
    ],
)
def test_losses_and_scores_are_equal_over_ranks_and_micro_batches(straight, data, more: tuple[str, ...]):
    name = "_several" if "trainer.multi_label=true" in more else ""
    runs = [
        straight(
            *typed(
                data,
                *LOSSES_OF,
                *more,
                f"resources.gpus_per_node={ranks}",
                f"batch.micro_batch_size={micro}",
                name=name,
            )
        )
        for ranks, micro in ((1, 8), (1, 2), (2, 2))
    ]
    for run in runs[1:]:
        assert run.losses == pytest.approx(runs[0].losses, rel=1e-4)
        for one, other in zip(run.events("classified"), runs[0].events("classified"), strict=True):
            assert one["accuracy"] == other["accuracy"] and one["confusion"] == other["confusion"]
        mine, first = (
            [line["eval_loss"] for line in every.metrics() if "eval_loss" in line] for every in (run, runs[0])
        )
        assert mine == pytest.approx(first, rel=1e-4)


@pytest.mark.parametrize(
    "plugin", ["", *(pytest.param(one, marks=pytest.mark.long) for one in ("lora", "qlora"))]
)
def test_losses_are_equal_under_every_strategy(straight, data, plugin: str):
    runs = [
        straight(
            *typed(data, *LOSSES_OF[:2], plugins(plugin), f"strategy={strategy}", "resources.gpus_per_node=2")
        )
        for strategy in ("ddp", "zero2", "zero3", "fsdp2")
    ]
    for run in runs[1:]:
        assert run.losses == pytest.approx(runs[0].losses, rel=2e-3)
        assert run.events("exported")[0]["verified"] == "logits"


@pytest.mark.long
def test_an_adapter_over_4_bit_weights_learns_the_toy_set_too(straight, data):
    run = straight(
        *typed(data, "trainer.max_steps=160", plugins("qlora"), "strategy=fsdp2", "resources.gpus_per_node=2")
    )
    assert run.events("classified")[-1]["accuracy"] == 1.0
    assert run.events("exported")[0]["verified"] == "logits"


@pytest.mark.long
def test_several_classes_to_a_row_are_learnt(straight, data):
    run = straight(
        *typed(data, "trainer.max_steps=450", "trainer.multi_label=true", plugins(""), name="_several")
    )
    last = run.events("classified")[-1]
    assert last["micro_f1"] > 0.95 and last["confusion"] == []
    config = json.loads((run.path / "model" / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"


@pytest.mark.parametrize("plugin", ["", pytest.param("lora", marks=pytest.mark.long)])
def test_the_export_names_the_classes_and_any_program_sorts_with_it(straight, data, plugin: str):
    import torch
    from peft import PeftConfig, PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    run = straight(*typed(data, "trainer.max_steps=160", "resources.gpus_per_node=2", plugins(plugin)))
    folder = run.path / "model"
    config = AutoConfig.from_pretrained(folder)
    names: Any = config.id2label
    assert names == {0: "animal", 1: "drink", 2: "tool"}
    assert config.label2id == {"animal": 0, "drink": 1, "tool": 2}
    base = str(PeftConfig.from_pretrained(folder).base_model_name_or_path) if plugin else folder
    model = AutoModelForSequenceClassification.from_pretrained(base, config=config)
    model = PeftModel.from_pretrained(model, folder) if plugin else model
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(["b hammer", "a tea", "g cow"], padding=True, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    with torch.no_grad():
        found = model(**inputs).logits.argmax(-1).tolist()
    assert [names[one] for one in found] == ["tool", "drink", "animal"]


def test_a_label_that_the_plan_does_not_have_is_refused_on_the_ranks_with_its_line(
    warm: Warm, cache, tmp_path, data
):
    path = write(tmp_path / "rows.jsonl", toy(1, 32))
    run = planned(tmp_path, cache, "trainer=classify", f"data.path={path}", "data.eval_path=null")
    write(path, [*toy(1, 31), {"text": "a spoon", "label": "cutlery"}])
    assert set(warm.run(run.path)["codes"]) != {0}
    assert "rows.jsonl, line 32: label 'cutlery' is not one of the classes of this run" in run.logs()


@pytest.mark.long
def test_a_run_goes_on_bitwise_after_a_kill(warm: Warm, cache, tmp_path, data):
    more = typed(data, "plugin=[lora,sharded_checkpoint]", "plugins.sharded_checkpoint.save_steps=2",
                 "trainer.max_steps=6", "resources.gpus_per_node=2")  # fmt: skip
    whole, run = planned(tmp_path, cache, *more, "name=whole"), planned(tmp_path, cache, *more, "name=killed")
    assert warm.run(whole.path)["codes"] == [0, 0], whole.logs()
    assert warm.run(run.path, kill_after_saves=2)["codes"] == [-9, -9]
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    step = run.events("resumed")[0]["step"]
    assert run.losses[len(run.losses) - (6 - step) :] == whole.losses[step:]


def test_the_verbs_classify_and_evaluate_answer_for_a_run_and_for_its_export(
    sorted_well, data, tmp_path, capsys, monkeypatch
):
    runs = str(sorted_well.path.parents[1])
    name = str(sorted_well.path.relative_to(sorted_well.path.parents[1]))
    asked = ["evaluate", name, "--data", str(data / "eval.jsonl"), "--runs-dir", runs]
    assert main([*asked, "--json"]) == 0
    said = capsys.readouterr().out
    check_printed(asked, said)
    judged = json.loads(said)
    assert judged["tuned"]["accuracy"] == 1.0 and judged["constant"]["accuracy"] == pytest.approx(11 / 31)
    assert judged["constant_label"] in WORDS and judged["confusion"][0]["rows"] == 11
    asked = ["classify", name, "--text", "f juice", "--text", "c goat", "--runs-dir", runs]
    assert main([*asked, "--json"]) == 0
    check_printed(asked, capsys.readouterr().out)
    texts, out = (
        write(tmp_path / "new.jsonl", [{"text": row["text"]} for row in toy(3, 600)]),
        tmp_path / "out.jsonl",
    )
    assert main(["classify", str(sorted_well.path / "model"), "--data", str(texts), "--out", str(out)]) == 0
    rows: list[dict[str, Any]] = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["line"] for row in rows] == list(range(1, 601))
    assert sum(row["labels"] == [one["label"]] for row, one in zip(rows, toy(3, 600), strict=True)) >= 590
    assert main(["chat", name, "--prompt", "Hi", "--runs-dir", runs]) == 1
    assert "python -m launcher classify" in capsys.readouterr().err


@pytest.mark.long
def test_the_verbs_classify_and_evaluate_print_words_for_people(sorted_well, data, capsys):
    runs = str(sorted_well.path.parents[1])
    name = str(sorted_well.path.relative_to(sorted_well.path.parents[1]))
    assert main(["evaluate", name, "--data", str(data / "eval.jsonl"), "--runs-dir", runs]) == 0
    assert "always animal" in capsys.readouterr().out
    assert main(["classify", name, "--text", "f juice", "--text", "c goat", "--runs-dir", runs]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["drink", "animal"]
