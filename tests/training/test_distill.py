"""Distillation on real ranks: the divergence falls, it is that of a bare loop, and equal however it is sharded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.__main__ import main
from tests.support import preloaded
from tests.support.runs import Finished, environment
from tests.support.shapes import check_printed
from tests.support.tiny_model import write_tiny
from tests.support.warm import Warm
from tests.training.resuming import planned

pytestmark = pytest.mark.train

TEXTS = ("the cat sat on the mat", "a dog", "the mat sat on a cat and on a dog", "so it is", "no", "yes, it is so",
         "one and two and three", "the end of it")  # fmt: skip
EQUAL = ("trainer.max_steps=3", "trainer.lr_scheduler_type=constant", "trainer.warmup_steps=0")


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with texts, a student, and a teacher of another size whose head has more rows."""
    folder = tmp_path_factory.mktemp("taught")
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    write_tiny(folder / "student", seed=1)
    write_tiny(folder / "teacher", seed=2, layers=3, vocabulary=384, spread=0.3)
    return folder


def typed(taught: Path, *more: str, plugin: str = "") -> tuple[str, ...]:
    plugins = f"{plugin},sharded_checkpoint".lstrip(",")
    return (
        "trainer=distill", f"trainer.teacher={taught}/teacher", f"model.name_or_path={taught}/student",
        f"data.path={taught}/texts.jsonl", "data.check=errors", "model.max_length=64", "batch.global_batch_size=8",
        "batch.micro_batch_size=2", "trainer.packing=false", "trainer.learning_rate=3e-3", f"plugin=[{plugins}]", *more,
    )  # fmt: skip


def bare(taught: Path, steps: int, mix: dict[str, float]) -> list[float]:
    """Losses of the same training in a plain loop of torch, all texts in every step."""
    import torch
    from torch.nn import functional
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(taught / "student")
    student = AutoModelForCausalLM.from_pretrained(taught / "student", dtype=torch.float32).train()
    teacher = AutoModelForCausalLM.from_pretrained(taught / "teacher", dtype=torch.float32).eval()
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3, weight_decay=0.0)
    rows = [torch.tensor([*tokenizer(text)["input_ids"], tokenizer.eos_token_id]) for text in TEXTS]
    count, losses = sum(len(row) - 1 for row in rows), []
    for _ in range(steps):
        total: Any = 0.0
        for row in rows:
            q = student(row[None]).logits[0, :-1]
            with torch.no_grad():
                p = functional.softmax(teacher(row[None]).logits[0, :-1, :320] / mix["temperature"], -1)
            log_q = functional.log_softmax(q / mix["temperature"], -1)
            forward = (p * (p.log() - log_q)).sum()
            entropy = functional.cross_entropy(q, row[1:], reduction="sum")
            total = total + mix["alpha"] * entropy + (1 - mix["alpha"]) * mix["temperature"] ** 2 * forward
        loss = total / count
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
    return losses


def test_losses_are_those_of_a_bare_loop(straight, taught):
    mix = {"alpha": 0.2, "temperature": 2.0}
    run = straight(*typed(taught, *EQUAL, *(f"trainer.{key}={value}" for key, value in mix.items())))
    assert run.losses == pytest.approx(bare(taught, 3, mix), rel=1e-4)


@pytest.mark.parametrize("beta", ["0", *(pytest.param(one, marks=pytest.mark.long) for one in ("0.5", "1"))])
def test_the_divergence_from_the_teacher_falls(straight, taught, beta: str):
    run = straight(
        *typed(
            taught,
            "trainer.max_steps=40",
            f"trainer.beta={beta}",
            "trainer.alpha=0",
            f"data.eval_path={taught}/texts.jsonl",
            "resources.gpus_per_node=2",
        )
    )
    told = [line for line in run.metrics() if "divergence" in line]
    assert len(told) == 40 and told[-1]["divergence"] < 0.6 * told[0]["divergence"]
    assert told[0]["loss"] == pytest.approx(told[0]["divergence"], rel=1e-4)
    first, *_, last = (line for line in run.metrics() if "eval_divergence" in line)
    assert last["eval_loss"] == pytest.approx(last["eval_divergence"], rel=1e-4)
    assert last["eval_divergence"] < 0.6 * first["eval_divergence"] and last["eval_cross_entropy"] > 0
    assert last.get("perplexity") is None
    assert run.events("exported")[0]["verified"] == "logits"


@pytest.mark.parametrize(
    "plugin", ["", *(pytest.param(one, marks=pytest.mark.long) for one in ("lora", "qlora"))]
)
def test_losses_are_equal_over_ranks_and_under_every_strategy(straight, taught, plugin: str):
    one = straight(*typed(taught, *EQUAL, plugin=plugin))
    for strategy in ("ddp", "zero2", "zero3", "fsdp2"):
        run = straight(
            *typed(taught, *EQUAL, f"strategy={strategy}", "resources.gpus_per_node=2", plugin=plugin)
        )
        assert run.losses == pytest.approx(one.losses, rel=2e-3 if plugin == "qlora" else 2e-4), strategy
        parts = [(line["divergence"], line["cross_entropy"]) for line in run.metrics() if "loss" in line]
        mine = [(line["divergence"], line["cross_entropy"]) for line in one.metrics() if "loss" in line]
        assert [one for two in parts for one in two] == pytest.approx(
            [one for two in mine for one in two], rel=2e-3 if plugin == "qlora" else 2e-4
        )
        assert run.events("exported")[0]["verified"] == "logits"


@pytest.mark.long
def test_packed_texts_have_the_losses_of_single_ones(straight, taught):
    alone = straight(*typed(taught, *EQUAL[1:], "trainer.max_steps=1"))
    packed = straight(*typed(taught, *EQUAL[1:], "trainer.max_steps=1", "trainer.packing=true",
                             "model.max_length=256", "batch.global_batch_size=1", "batch.micro_batch_size=1"))  # fmt: skip
    assert packed.losses == pytest.approx(alone.losses, rel=1e-5)


@pytest.fixture(scope="session")
def stored(taught: Path, cache: Path) -> Callable[..., dict[str, Any]]:
    """What data teach has stored for the texts, with these further arguments."""
    known: dict[tuple[str, ...], dict[str, Any]] = {}

    def stored(*words: str) -> dict[str, Any]:
        if words not in known:
            arguments = (
                "data",
                "teach",
                "+experiment=tiny",
                "cluster=local",
                f"cache_dir={cache}",
                "data.eval_path=null",
            )
            done = preloaded.run(
                (*arguments, *typed(taught), "--json", *words), taught, environment(), timeout_s=120
            )
            assert done.returncode == 0, done.stderr
            check_printed(["data", "teach", "--json"], done.stdout)
            known[words] = json.loads(done.stdout)
        return known[words]

    return stored


def from_stored(taught: Path, folder: str, *more: str) -> list[str]:
    words = [one for one in typed(taught, *EQUAL, *more) if not one.startswith("trainer.teacher=")]
    return [*words, f"trainer.teacher_logits={folder}"]


def test_the_stored_words_of_the_whole_vocabulary_give_the_losses_of_the_loaded_teacher(
    straight, taught, stored
):
    found = stored("--top-k", "1000")
    assert (found["top_k"], found["vocabulary"], found["rows"], found["left_out"]) == (
        320,
        320,
        len(TEXTS),
        0,
    )
    loaded = straight(*typed(taught, *EQUAL))
    for ranks in (1, 2):
        run = straight(*from_stored(taught, found["folder"], f"resources.gpus_per_node={ranks}"))
        assert run.losses == pytest.approx(loaded.losses, abs=1e-5, rel=0 if ranks == 1 else 1e-4)


@pytest.mark.long
def test_the_stored_words_of_packed_rows_give_the_losses_of_the_loaded_teacher(straight, taught, stored):
    packed = stored("--top-k", "1000", "trainer.packing=true", "model.max_length=128")
    assert packed["rows"] < len(TEXTS)
    more = (
        "trainer.packing=true",
        "model.max_length=128",
        "batch.global_batch_size=2",
        "trainer.num_train_epochs=1",
    )
    assert straight(*from_stored(taught, packed["folder"], *more)).losses == pytest.approx(
        straight(*typed(taught, *EQUAL, *more)).losses, abs=1e-5
    )


@pytest.mark.long
def test_a_few_stored_words_teach_and_are_found_again(straight, taught, stored):
    found = stored("--top-k", "8")
    assert 0 < found["left_out"] < 1 and not [*Path(found["folder"]).glob("*.p*")]
    run = straight(*from_stored(taught, found["folder"], "trainer.max_steps=40", "trainer.alpha=0"))
    told = [line["divergence"] for line in run.metrics() if "divergence" in line]
    assert told[-1] < 0.6 * told[0]


def test_stored_words_of_other_rows_or_settings_are_refused(
    warm: Warm, cache, tmp_path, taught, stored, capsys
):
    folder = stored("--top-k", "8")["folder"]
    words = ["plan", "+experiment=tiny", "cluster=local", f"cache_dir={cache}", "data.eval_path=null"]
    for typed_more, told in (
        ("model.max_length=32", "model.max_length=32, but trainer.teacher_logits="),
        ("trainer.temperature=3", "was stored with 1.0"),
        ("trainer.packing=true", "was stored with False"),
        (f"trainer.teacher_logits={taught}", "has no stored output of a teacher"),
        ("trainer.teacher=org/big", "are two teachers"),
    ):
        assert main([*words, *from_stored(taught, folder), typed_more]) == 1
        assert told in capsys.readouterr().err
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({"text": f"{text}!"}) + "\n" for text in TEXTS))
    run = planned(tmp_path, cache, *from_stored(taught, folder, f"data.path={other}"))
    assert set(warm.run(run.path)["codes"]) != {0}
    assert "has no output for a row of" in run.logs()


@pytest.mark.long
def test_a_run_goes_on_bitwise_after_a_kill(warm: Warm, cache, tmp_path, taught):
    more = typed(taught, "plugins.sharded_checkpoint.save_steps=2", "trainer.max_steps=6", "resources.gpus_per_node=2",
                 "plugins.lora.dropout=0.1", plugin="lora")  # fmt: skip
    whole, run = planned(tmp_path, cache, *more, "name=whole"), planned(tmp_path, cache, *more, "name=killed")
    assert warm.run(whole.path)["codes"] == [0, 0], whole.logs()
    assert warm.run(run.path, kill_after_saves=2)["codes"] == [-9, -9]
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    step = run.events("resumed")[0]["step"]
    assert run.losses[len(run.losses) - (6 - step) :] == whole.losses[step:]


def test_a_teacher_with_another_tokenizer_is_refused_on_the_ranks_in_one_line(
    warm: Warm, cache, tmp_path, taught
):
    from transformers import AutoTokenizer

    teacher = write_tiny(tmp_path / "teacher", seed=2)
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    tokenizer.add_tokens(["another"])
    tokenizer.save_pretrained(teacher)
    words = [one for one in typed(taught) if not one.startswith("model.name_or_path")]
    run = planned(tmp_path, cache, *words, f"trainer.teacher={teacher}")
    assert set(warm.run(run.path)["codes"]) != {0}
    assert (
        f"trainer.teacher={teacher} has another vocabulary than the trained model (token 'another'"
        in run.logs()
    )


@pytest.mark.long
def test_evaluate_report_and_status_know_a_distilled_model(straight: Callable[..., Finished], taught, capsys):
    run = straight(*typed(taught, *EQUAL))
    runs, name = str(run.path.parents[1]), str(run.path.relative_to(run.path.parents[1]))
    texts = str(taught / "texts.jsonl")
    assert main(["evaluate", name, "--data", texts, "--runs-dir", runs, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tuned"]["loss"] > 0
    assert main(["report", name, "--runs-dir", runs]) == 0
    assert "cross entropy" in (run.path / "report.html").read_text()
    assert main(["status", name, "--runs-dir", runs]) == 0
